//! Presence on a local network. See `antiphon_fuzz_targets::presence`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::presence(data));
