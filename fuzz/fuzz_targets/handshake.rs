//! A handshake in the hands of whoever owns the network. See `antiphon_fuzz_targets::handshake`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::handshake(data));
