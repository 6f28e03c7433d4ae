//! The chain of NSEC records as octets: that a name does not exist, said without a signature of its own (RFC 4035 §3.1.3).
//!
//! For the fast path, once signing has taken its share of time. Names are compared as octets: each is turned into a key
//! whose order is that of DNSSEC (RFC 4034 §6.1).

use super::contents::Contents;
use super::prepared::{wire_name, write_record};
use super::question::NAME_BYTES_MAX;
use hickory_proto::rr::Name;

/// Longest key, octets: each octet of a name can take two.
const KEY_BYTES_MAX: usize = 2 * NAME_BYTES_MAX;
/// Labels of a name, at most.
const LABELS_MAX: usize = NAME_BYTES_MAX / 2 + 1;

/// A name, so that octets compare as names do.
struct Key {
    octets: [u8; KEY_BYTES_MAX],
    count: usize,
}

impl Key {
    /// Of a name on the wire, in lower case.
    fn of(name: &[u8]) -> Self {
        let mut starts = [0_u8; LABELS_MAX];
        let (mut labels, mut at) = (0, 0);
        while name[at] != 0 {
            // A name has at most 255 octets.
            starts[labels] = at as u8;
            labels += 1;
            at += 1 + usize::from(name[at]);
        }
        let mut key = Self { octets: [0; KEY_BYTES_MAX], count: 0 };
        for start in starts[..labels].iter().rev().map(|start| usize::from(*start)) {
            for octet in &name[start + 1..][..usize::from(name[start])] {
                match octet {
                    // The end of a label comes before everything in one.
                    0 | 1 => {
                        key.put(1);
                        key.put(octet + 1);
                    }
                    octet => key.put(*octet),
                }
            }
            key.put(0);
        }
        key
    }

    fn put(&mut self, octet: u8) {
        self.octets[self.count] = octet;
        self.count += 1;
    }

    fn as_slice(&self) -> &[u8] {
        &self.octets[..self.count]
    }
}

/// Every record of the chain with its signatures.
#[derive(Debug, Default)]
pub(super) struct Chain {
    /// In order: the owner's key, and the records as they are in a message.
    links: Vec<(Box<[u8]>, Link)>,
}

/// One record of the chain with its signatures.
#[derive(Debug, Default)]
pub(super) struct Link {
    pub(super) octets: Box<[u8]>,
    /// Records in it.
    pub(super) count: u16,
}

impl Chain {
    pub(super) fn new(contents: &Contents) -> Self {
        let links = contents.chain.iter().map(|(owner, set)| {
            let name = wire_name(owner);
            let mut link = Link::default();
            let mut octets = Vec::new();
            for data in set.data.iter().chain(&set.signatures) {
                octets.extend_from_slice(&name);
                write_record(data, set.ttl, &mut octets);
                link.count += 1;
            }
            link.octets = octets.into();
            (Key::of(&name).as_slice().into(), link)
        });
        Self { links: links.collect() }
    }

    /// Which record says that nothing stands at `name`, on the wire and in lower case. Nothing if there is no chain.
    #[inline]
    pub(super) fn covering(&self, name: &[u8]) -> Option<usize> {
        let key = Key::of(name);
        let after = self.links.partition_point(|(owner, _)| **owner <= *key.as_slice());
        after.checked_sub(1).or(self.links.len().checked_sub(1))
    }

    /// Which one says that no wildcard stands for what is directly below `name`.
    pub(super) fn covering_wildcard(&self, name: &Name) -> Option<usize> {
        self.covering(&wire_name(&name.prepend_label("*").ok()?))
    }

    #[inline]
    pub(super) fn link(&self, at: usize) -> &Link {
        &self.links[at].1
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_compare_as_names_do() {
        let names: [&[&[u8]]; 9] = [
            &[b"example"],
            &[b"a", b"example"],
            &[b"yljkjljk", b"a", b"example"],
            &[b"z", b"a", b"example"],
            &[b"zabc", b"a", b"example"],
            &[b"z", b"example"],
            &[b"\x01", b"z", b"example"],
            &[b"*", b"z", b"example"],
            &[b"\xC8", b"z", b"example"],
        ];
        let key = |labels: &[&[u8]]| {
            let name = Name::from_labels(labels.iter().copied()).expect("a name");
            Key::of(&wire_name(&name)).as_slice().to_vec()
        };
        let keys = names.map(key);
        assert!(keys.is_sorted(), "the example of RFC 4034 §6.1: {keys:?}");
        let zero = key(&[b"\0", b"z", b"example"]);
        assert!(keys[5] < zero && zero < keys[6], "nothing comes between a name and the least below it");
    }

    #[test]
    fn the_longest_names_have_keys() {
        let ones = |count| [&[count][..], &vec![1; usize::from(count)]].concat();
        let name = [ones(63), ones(63), ones(63), ones(61), vec![0]].concat();
        assert_eq!(name.len(), NAME_BYTES_MAX);
        assert!(Key::of(&name).count <= KEY_BYTES_MAX);
        let short = [[1, b'a'].repeat(127), vec![0]].concat();
        assert_eq!((short.len(), Key::of(&short).count), (NAME_BYTES_MAX, 254));
    }
}
