//! `cargo fuzz run regions_toml`: see [`anyfront_fuzz::regions_toml`].
#![cfg_attr(fuzzing, no_main)]

#[cfg(fuzzing)]
libfuzzer_sys::fuzz_target!(|data: &[u8]| anyfront_fuzz::regions_toml(data));

#[cfg(not(fuzzing))]
fn main() {
    eprintln!("run this with `make fuzz`");
}
