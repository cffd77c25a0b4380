//! `cargo fuzz run backup`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::backup::run(input));
