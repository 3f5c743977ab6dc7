//! Node ids and signatures from strangers. See `antiphon_fuzz_targets::identity`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::identity(data));
