fn main() -> std::process::ExitCode {
    toban_core::main(cert_checker::run)
}
