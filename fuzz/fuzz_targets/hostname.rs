//! `cargo fuzz run hostname`: see [`anyfront_fuzz::hostname`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| anyfront_fuzz::hostname(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run this with `make fuzz`");
}
