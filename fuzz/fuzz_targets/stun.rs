//! Questions and answers at the UDP port. See `antiphon_fuzz_targets::stun`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::stun(data));
