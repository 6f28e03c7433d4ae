//! `cargo fuzz run authority`: see [`anyfront_fuzz::authority`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| anyfront_fuzz::authority(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run this with `make fuzz`");
}
