//! Texts that people paste. See `antiphon_fuzz_targets::names`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::names(data));
