//! `cargo fuzz run query`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::query::run(input));
