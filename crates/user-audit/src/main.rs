fn main() -> std::process::ExitCode {
    toban_core::main(user_audit::run)
}
