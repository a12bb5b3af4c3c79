fn main() -> std::process::ExitCode {
    toban_core::main(health_check::run)
}
