//! The plaintext of a record. See `antiphon_fuzz_targets::frames`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::frames(data));
