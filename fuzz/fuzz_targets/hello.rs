//! `cargo fuzz run hello`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::hello::run(input));
