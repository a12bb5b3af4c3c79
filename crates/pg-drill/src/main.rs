fn main() -> std::process::ExitCode {
    toban_core::main(pg_drill::run)
}
