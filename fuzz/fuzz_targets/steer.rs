//! `cargo fuzz run steer`: see [`anyfront_fuzz::steering`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| anyfront_fuzz::steering(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run this with `make fuzz`");
}
