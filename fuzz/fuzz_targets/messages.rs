//! The bytes of a stream, cut anywhere. See `antiphon_fuzz_targets::messages`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::messages(data));
