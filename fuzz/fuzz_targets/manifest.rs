//! `cargo fuzz run manifest`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::manifest::run(input));
