//! Records of a session in the hands of whoever owns the network. See `antiphon_fuzz_targets::transport`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::transport(data));
