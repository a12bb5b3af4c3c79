fn main() -> std::process::ExitCode {
    toban_core::main(host_audit::run)
}
