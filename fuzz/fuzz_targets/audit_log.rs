//! `cargo fuzz run audit_log`.
#![no_main]
libfuzzer_sys::fuzz_target!(|input: &[u8]| strongroom_fuzz::audit_log::run(input));
