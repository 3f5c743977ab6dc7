//! What peers tell the tracker. See `antiphon_fuzz_targets::tracker`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::tracker(data));
