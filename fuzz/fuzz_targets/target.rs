//! `cargo fuzz run target`: see [`anyfront_fuzz::target`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| anyfront_fuzz::target(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run this with `make fuzz`");
}
