//! `cargo fuzz run admin`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::admin::run(input));
