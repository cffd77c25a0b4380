//! `cargo fuzz run ram_policy`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::ram_policy::run(input));
