//! The bytes of a connection, cut anywhere. See `antiphon_fuzz_targets::records`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::records(data));
