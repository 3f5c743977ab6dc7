//! `antiphon`: hear any song at once.

fn main() -> std::process::ExitCode {
    antiphon_client::cli::main()
}
