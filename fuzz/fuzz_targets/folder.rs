//! A cache's folder after crashes and damage. See `antiphon_fuzz_targets::folder`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::folder(data));
