//! `antiphon` with the feature `faults`: it can be told to misbehave. For tests.

fn main() -> std::process::ExitCode {
    antiphon_client::cli::main()
}
