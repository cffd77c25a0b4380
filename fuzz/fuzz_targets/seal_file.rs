//! `cargo fuzz run seal_file`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::seal_file::run(input));
