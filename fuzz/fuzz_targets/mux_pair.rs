//! Two honest multiplexers. See `antiphon_fuzz_targets::mux_pair`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::mux_pair(data));
