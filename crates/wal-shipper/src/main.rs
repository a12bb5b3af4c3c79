fn main() -> std::process::ExitCode {
    wal_shipper::main()
}
