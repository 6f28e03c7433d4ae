//! Every difference in client subnets that is meant to be: which, and why. What is not here is a mistake.

use crate::dns::message::rcode;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Options that break RFC 7871, one way each.
pub const MALFORMED: &[&[u8]] = &[
    &[],
    &[0, 1, 24],
    &[0, 3, 24, 0, 1, 2, 3],
    &[0, 1, 33, 0, 1, 2, 3, 4, 5],
    &[0, 1, 24, 0, 1, 2],
    &[0, 1, 24, 0, 1, 2, 3, 0],
    &[0, 1, 20, 0, 1, 2, 0x1F],
    &[0, 1, 24, 24, 1, 2, 3],
    &[0, 2, 129, 0, 0x24, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16],
    &[0, 0, 8, 0, 10],
];

/// What a server said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Said {
    pub rcode: u16,
    pub addresses: Vec<String>,
    /// The option that came back, without its scope.
    pub echo: Option<Vec<u8>>,
    pub scope: Option<u8>,
}

/// One question and what came back.
#[derive(Clone, Debug)]
pub struct Case {
    pub option: Vec<u8>,
    pub ours: Said,
    pub knot: Said,
    pub gdnsd: Said,
}

/// What can differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    Rcode,
    Addresses,
    Echo,
    Scope,
}

impl Case {
    /// All in which our answer differs from Knot's or gdnsd's.
    pub fn differences(&self) -> Vec<Field> {
        let differ =
            |field: &Field| [&self.knot, &self.gdnsd].into_iter().any(|other| !self.ours.is_like(other, *field));
        [Field::Rcode, Field::Addresses, Field::Echo, Field::Scope].into_iter().filter(differ).collect()
    }

    /// The address that the option says, with its first bits.
    pub fn address(&self) -> Option<(IpAddr, u8)> {
        let [_, family, source, _, octets @ ..] = self.option.as_slice() else { return None };
        let mut whole = [0; 16];
        whole.get_mut(..octets.len())?.copy_from_slice(octets);
        let address: IpAddr = match family {
            1 => Ipv4Addr::new(whole[0], whole[1], whole[2], whole[3]).into(),
            _ => Ipv6Addr::from(whole).into(),
        };
        Some((address, *source))
    }
}

impl Said {
    fn is_like(&self, other: &Self, field: Field) -> bool {
        match field {
            Field::Rcode => self.rcode == other.rcode,
            Field::Addresses => self.addresses == other.addresses,
            Field::Echo => self.echo == other.echo,
            Field::Scope => self.scope == other.scope,
        }
    }
}

/// A difference that is meant to be.
#[derive(Clone, Copy, Debug)]
pub struct Exception {
    /// What it is called in reports.
    pub name: &'static str,
    /// Why it is right.
    pub why: &'static str,
    /// Where it shows.
    pub fields: &'static [Field],
    /// Whether it explains this case.
    pub explains: fn(&Case) -> bool,
}

/// All of them. One that explains nothing any more fails the test too.
pub const EXCEPTIONS: &[Exception] = &[
    Exception {
        name: "malformed",
        why: "RFC 7871 §6, §7.1.2: every option that breaks the form gets FORMERR; Knot and gdnsd let some pass",
        fields: &[Field::Rcode, Field::Addresses, Field::Echo, Field::Scope],
        explains: |case| {
            MALFORMED.contains(&case.option.as_slice())
                && case.ours.rcode == rcode::FORMERR
                && case.ours.addresses.is_empty()
        },
    },
    Exception {
        name: "scopes-of-knot",
        why: "Knot's scope is that of the network in its database, and 0 (for everybody) where there is none; gdnsd and we \
              tell how far the same answer holds, which the other test tries",
        fields: &[Field::Scope],
        explains: |case| case.ours.scope == case.gdnsd.scope,
    },
    Exception {
        name: "nobodys-addresses",
        why: "a prefix whose first address can be no client's (0.0.0.0, ::) says nothing of where its client is: the \
              resolver stands for it, and the answer is for no more than the finest prefix; gdnsd looks it up like any other",
        fields: &[Field::Scope],
        explains: |case| match case.address() {
            Some((IpAddr::V4(address), 1..)) => address.octets()[0] == 0 && case.ours.scope == Some(24),
            Some((IpAddr::V6(address), 1..)) => address.segments()[0] < 0x2000 && case.ours.scope == Some(56),
            _ => false,
        },
    },
    Exception {
        name: "beside-teredo",
        why: "gdnsd keeps 2001::/32 apart from its neighbours, because it looks up the IPv4 address in it (RFC 4380); that \
              address is beyond the /56 that resolvers tell, so here it is a network that nobody knows, as its neighbours",
        fields: &[Field::Scope],
        explains: |case| matches!(case.address(), Some((IpAddr::V6(address), _)) if address.segments()[0] & 0xFFFE == 0x2000),
    },
];
