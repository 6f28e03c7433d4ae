//! Every target over its committed seeds, as they are and mutated in the same way each time.

use anyfront::moment::Dice;
use anyfront_fuzz::TARGETS;
use std::path::Path;

/// Mutations of each seed.
const MUTATIONS: u64 = 500;

fn seeds(target: &str) -> Vec<(String, Vec<u8>)> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("seeds").join(target);
    let entries = std::fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let mut seeds: Vec<_> = entries
        .map(|entry| entry.expect("readable").path())
        .map(|path| (path.display().to_string(), std::fs::read(&path).expect("readable")))
        .collect();
    seeds.sort();
    assert!(!seeds.is_empty(), "{} is empty", folder.display());
    seeds
}

/// A few small changes, as a careless hand or a hostile one would make them.
fn mutated(seed: &[u8], others: &[(String, Vec<u8>)], dice: &mut Dice) -> Vec<u8> {
    let mut data = seed.to_vec();
    for _ in 0..1 + dice.roll() % 4 {
        let mut at = |len: usize| (dice.roll() % (len as u64 + 1)) as usize;
        let (from, to) = (at(data.len()), at(data.len()));
        let (from, to) = (from.min(to), from.max(to));
        match at(5) {
            0 => drop(data.drain(from..to.min(from + 40))),
            1 => {
                let piece = data[from..to.min(from + 40)].to_vec();
                let here = at(data.len());
                data.splice(here..here, piece);
            }
            2 => {
                let other = &others[at(others.len() - 1)].1;
                let (start, length) = (at(other.len()), at(60));
                data.splice(from..from, other[start..other.len().min(start + length)].iter().copied());
            }
            3 => {
                let words: [&[u8]; 12] = [
                    b"\"", b"[", b"[[", b"]]\n", b"\n", b"\r\n", b".", b" = ", b"-", b"\xEF\xBB\xBF", b"\xC3\xA9", b"99999999999999999999",
                ];
                data.splice(from..from, words[at(words.len() - 1)].iter().copied());
            }
            4 if from < data.len() => data[from] ^= 1 << at(7),
            _ if from < data.len() => data[from] = at(255) as u8,
            _ => {}
        }
    }
    data
}

#[test]
fn every_target_takes_its_seeds_and_their_mutations() {
    for (name, run) in TARGETS {
        let seeds = seeds(name);
        let mut dice = Dice::seeded(0x5EED);
        for (path, seed) in &seeds {
            run(seed);
            for round in 0..MUTATIONS {
                let data = mutated(seed, &seeds, &mut dice);
                let shown = String::from_utf8_lossy(&data).into_owned();
                let result = std::panic::catch_unwind(|| run(&data));
                assert!(result.is_ok(), "{name}: mutation {round} of {path} failed: {shown:?}");
            }
        }
    }
}

#[test]
fn every_target_has_a_binary_of_its_own() {
    let manifest = include_str!("../Cargo.toml");
    for (name, _) in TARGETS {
        assert!(manifest.contains(&format!("name = \"{name}\"")), "add a [[bin]] for {name} to fuzz/Cargo.toml");
    }
    assert_eq!(manifest.matches("[[bin]]").count(), TARGETS.len());
}
