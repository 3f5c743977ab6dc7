//! Every message of `proto/`. See `antiphon_fuzz_targets::protobuf`.

#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| antiphon_fuzz_targets::protobuf(data));
