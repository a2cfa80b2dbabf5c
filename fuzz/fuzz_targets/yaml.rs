#![no_main]

#[path = "../../blueprints/tests/setup/mod.rs"]
mod setup;

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| setup::fuzzing::yaml(bytes));
