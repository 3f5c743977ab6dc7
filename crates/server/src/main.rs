//! `antiphon-server`: serves a catalogue of music.

fn main() -> std::process::ExitCode {
    antiphon_server::cli::main()
}
