fn main() -> std::process::ExitCode {
    toban_core::main(json_to_pg::run)
}
