//! Blocks and their proofs from strangers. See `antiphon_fuzz_targets::proofs`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::proofs(data));
