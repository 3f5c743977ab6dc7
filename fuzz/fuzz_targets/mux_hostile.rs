//! One multiplexer against whoever wants to break it. See `antiphon_fuzz_targets::mux_hostile`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::mux_hostile(data));
