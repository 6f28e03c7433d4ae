//! Sorted ranges over one address family: each lasts until the next one starts, the first starts at zero.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Places in the first-level table: one for each value of 16 bits.
const TABLE_LEN: usize = 1 << 16;

/// The part of an address by which a family is told apart, at the upper end of a number: the bits below its granularity
/// are zero.
pub trait Key: Copy + Ord {
    /// An address of the family.
    type Address;
    /// Which bits count.
    const MASK: Self;
    /// Zero.
    const ZERO: Self;

    /// The key of `address`.
    fn of(address: Self::Address) -> Self;
    /// The first address that has this key.
    fn address(self) -> IpAddr;
    /// The key of the first /24 or /56 that begins at or after `address`; `None` if it is of the other family, or there is
    /// no such key.
    fn beginning_at(address: IpAddr) -> Option<Self>;
    /// The key after the one that `address` has; `None` after the last one, and if it is of the other family.
    fn after(address: IpAddr) -> Option<Self>;
    /// The slot of the first-level table, if the table has this part of the family.
    fn slot(self) -> Option<usize>;
    /// The first key of a slot.
    fn slot_start(slot: usize) -> Self;
    /// Bits of the shortest prefix that has this key but not `other`, which differs.
    fn bits_apart_from(self, other: Self) -> u8;
    /// Bits of the shortest prefix that has this key but not the key before `start`, which is no later than this one.
    fn bits_apart_from_before(self, start: Self) -> u8;
}

impl Key for u32 {
    type Address = Ipv4Addr;
    const MASK: u32 = !0xFF;
    const ZERO: u32 = 0;

    #[inline]
    fn of(address: Ipv4Addr) -> u32 {
        address.to_bits() & Self::MASK
    }

    fn address(self) -> IpAddr {
        IpAddr::V4(Ipv4Addr::from_bits(self))
    }

    fn beginning_at(address: IpAddr) -> Option<u32> {
        let IpAddr::V4(v4) = address else { return None };
        v4.to_bits().checked_add(!Self::MASK).map(|up| up & Self::MASK)
    }

    fn after(address: IpAddr) -> Option<u32> {
        let IpAddr::V4(v4) = address else { return None };
        (v4.to_bits() | !Self::MASK).checked_add(1)
    }

    #[inline]
    fn slot(self) -> Option<usize> {
        Some((self >> 16) as usize)
    }

    fn slot_start(slot: usize) -> u32 {
        (slot as u32) << 16
    }

    #[inline]
    fn bits_apart_from(self, other: u32) -> u8 {
        (self ^ other).leading_zeros() as u8 + 1
    }

    #[inline]
    fn bits_apart_from_before(self, start: u32) -> u8 {
        self.bits_apart_from(start - 1)
    }
}

/// The part of IPv6 that the first-level table covers: 2000::/3, all there is of global unicast (RFC 4291 §2.4). Its
/// registries give out networks of /12 to /32, so the bits after these three tell most of them apart.
const UNICAST_BITS: u32 = 3;
const UNICAST: u64 = 1;
/// What lies below a slot of 2000::/3.
const SLOT_SHIFT: u32 = 64 - UNICAST_BITS - 16;

impl Key for u64 {
    type Address = Ipv6Addr;
    const MASK: u64 = !0xFF;
    const ZERO: u64 = 0;

    #[inline]
    fn of(address: Ipv6Addr) -> u64 {
        (address.to_bits() >> 64) as u64 & Self::MASK
    }

    fn address(self) -> IpAddr {
        IpAddr::V6(Ipv6Addr::from_bits(u128::from(self) << 64))
    }

    fn beginning_at(address: IpAddr) -> Option<u64> {
        let IpAddr::V6(v6) = address else { return None };
        let below = (1_u128 << 72) - 1;
        v6.to_bits().checked_add(below).map(|up| (up >> 64) as u64 & Self::MASK)
    }

    fn after(address: IpAddr) -> Option<u64> {
        let IpAddr::V6(v6) = address else { return None };
        ((v6.to_bits() >> 64) as u64 | !Self::MASK).checked_add(1)
    }

    #[inline]
    fn slot(self) -> Option<usize> {
        (self >> (64 - UNICAST_BITS) == UNICAST).then_some((self >> SLOT_SHIFT) as usize & (TABLE_LEN - 1))
    }

    fn slot_start(slot: usize) -> u64 {
        (UNICAST << (64 - UNICAST_BITS)) | (slot as u64) << SLOT_SHIFT
    }

    #[inline]
    fn bits_apart_from(self, other: u64) -> u8 {
        (self ^ other).leading_zeros() as u8 + 1
    }

    #[inline]
    fn bits_apart_from_before(self, start: u64) -> u8 {
        self.bits_apart_from(start - 1)
    }
}

/// Ranges of keys with a value each; neighbours differ.
#[derive(Debug)]
pub struct Ranges<K, V> {
    /// Apart from the values, so that a search reads nothing else.
    starts: Box<[K]>,
    values: Box<[V]>,
    /// For each slot of the first-level table the range that its first key is in.
    table: Box<[u32]>,
}

impl<K: Key, V: Copy> Ranges<K, V> {
    /// The range that `key` is in.
    #[inline]
    pub fn at(&self, key: K) -> usize {
        let (from, to) = match key.slot() {
            Some(slot) => {
                let last = self.table.get(slot + 1).map_or(self.starts.len(), |next| *next as usize + 1);
                (self.table[slot] as usize, last)
            }
            None => (0, self.starts.len()),
        };
        // The first of them starts at or before the slot does.
        from + self.starts[from..to].partition_point(|start| *start <= key).saturating_sub(1)
    }

    /// What `key` has.
    #[inline]
    pub fn value(&self, key: K) -> V {
        self.values[self.at(key)]
    }

    /// What `key` has, and the length of the shortest prefix around it that stays in its range.
    #[inline]
    pub fn find(&self, key: K) -> (V, u8) {
        let at = self.at(key);
        let below = if at == 0 { 0 } else { key.bits_apart_from_before(self.starts[at]) };
        let above = self.starts.get(at + 1).map_or(0, |next| key.bits_apart_from(*next));
        (self.values[at], below.max(above))
    }

    /// One range: where it starts, and what it has.
    pub fn nth(&self, at: usize) -> (K, V) {
        (self.starts[at], self.values[at])
    }

    /// All of them in order.
    pub fn iter(&self) -> impl Iterator<Item = (K, V)> {
        self.starts.iter().copied().zip(self.values.iter().copied())
    }

    /// How many there are; at least one.
    pub fn len(&self) -> usize {
        self.starts.len()
    }

    /// What they take in memory, octets.
    pub fn bytes(&self) -> usize {
        size_of_val(&*self.starts) + size_of_val(&*self.values) + size_of_val(&*self.table)
    }
}

/// Ranges as they are found, in order.
#[derive(Debug)]
pub struct Builder<K, V> {
    starts: Vec<K>,
    values: Vec<V>,
}

impl<K, V> Default for Builder<K, V> {
    fn default() -> Self {
        Self { starts: Vec::new(), values: Vec::new() }
    }
}

impl<K: Key, V: Copy + PartialEq> Builder<K, V> {
    /// From `start` on it is `value`. The first must start at zero, the others after the one before.
    pub fn push(&mut self, start: K, value: V) {
        debug_assert!(self.starts.last().map_or(start == K::ZERO, |last| *last < start), "in order, from zero on");
        if self.values.last() != Some(&value) {
            self.starts.push(start);
            self.values.push(value);
        }
    }

    /// With their first-level table.
    pub fn finish(self) -> Ranges<K, V> {
        let (starts, values) = (self.starts.into_boxed_slice(), self.values.into_boxed_slice());
        let mut at = 0;
        let slot = |slot| {
            let key = K::slot_start(slot);
            while starts.get(at + 1).is_some_and(|next| *next <= key) {
                at += 1;
            }
            u32::try_from(at).expect("no more ranges than networks, which the size of a database bounds")
        };
        let table = (0..TABLE_LEN).map(slot).collect();
        Ranges { starts, values, table }
    }
}
