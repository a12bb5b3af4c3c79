fn main() -> std::process::ExitCode {
    toban_core::main(sqlite_to_pg::run)
}
