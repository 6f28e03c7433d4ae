//! A year of rolls, and no resolver ever holds what does not validate.
//!
//! Nodes hear of steps late and have wrong clocks, the parent is changed by hand or follows CDS, operators act when they
//! may and try when they may not. Resolvers may hold any DS, DNSKEY and signatures that were served within their TTL: every
//! combination of them must validate, for a validator that wants one path and for one that wants every algorithm.

use anyfront::dnssec::life::{Lives, NewKey, Refusal, Step};
use anyfront::dnssec::roles::{Roles, Wanted};
use anyfront::dnssec::timing::{DNSKEY_TTL, PROPAGATION, ZONE_TTL_MAX};
use anyfront::moment::Dice;
use hickory_proto::dnssec::Algorithm;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

const START: Duration = Duration::from_secs(1_795_305_600);
const YEAR: Duration = Duration::from_secs(365 * 86_400);
/// Divides none of the waits.
const STEP: Duration = Duration::from_secs(7 * 60);
/// What the parent's servers give.
const DS_TTL: Duration = Duration::from_secs(86_400);
/// Most that a node hears late, and most that its clock is wrong, each way: together less than a [`PROPAGATION`].
const LATE: Duration = Duration::from_secs(45 * 60);
const SKEW: Duration = Duration::from_secs(7 * 60);

/// A key, as validators tell it: by its tag and algorithm.
type Keys = BTreeSet<(u16, u8)>;

/// What resolvers may hold, with the last moment at which they may.
#[derive(Default)]
struct Held {
    ds: BTreeMap<Keys, Duration>,
    /// DNSKEY, and who signed it.
    dnskey: BTreeMap<(Keys, Keys), Duration>,
    /// Who signed what else there is.
    zone: BTreeMap<Keys, Duration>,
}

impl Held {
    fn forget(&mut self, now: Duration) {
        self.ds.retain(|_, until| *until >= now);
        self.dnskey.retain(|_, until| *until >= now);
        self.zone.retain(|_, until| *until >= now);
    }

    /// The first combination that is bogus, and how many there are.
    fn validate(&self) -> Result<usize, String> {
        for ds in self.ds.keys() {
            for (dnskey, signed_by) in self.dnskey.keys() {
                for zone in self.zone.keys() {
                    validate(ds, dnskey, signed_by, zone).map_err(|why| {
                        format!("{why}: DS {ds:?}, DNSKEY {dnskey:?} signed by {signed_by:?}, zone signed by {zone:?}")
                    })?;
                }
            }
        }
        Ok(self.ds.len() * self.dnskey.len() * self.zone.len())
    }
}

fn validate(ds: &Keys, dnskey: &Keys, signed_by: &Keys, zone: &Keys) -> Result<(), &'static str> {
    if ds.is_empty() {
        return Ok(());
    }
    let algorithms = |keys: &Keys| keys.iter().map(|key| key.1).collect::<BTreeSet<_>>();
    let trusted: Keys = ds & dnskey;
    let trusted: Keys = &trusted & signed_by;
    if trusted.is_empty() {
        return Err("no DS leads to DNSKEY");
    }
    let signers: Keys = zone & dnskey;
    if signers.is_empty() {
        return Err("no key in DNSKEY signed the zone");
    }
    if algorithms(&trusted) != algorithms(ds) {
        return Err("an algorithm in DS does not lead to DNSKEY");
    }
    if !algorithms(dnskey).is_subset(&algorithms(&signers)) {
        return Err("an algorithm in DNSKEY did not sign the zone");
    }
    Ok(())
}

/// One node: what it has heard, what is on its way to it, and how wrong its clock is.
struct Node {
    lives: Lives,
    on_their_way: Vec<(Duration, Lives)>,
    ahead: Duration,
    /// What it does until its clock or its folder says otherwise.
    roles: Option<Roles>,
}

impl Node {
    fn wall(&self, now: Duration) -> Duration {
        now + self.ahead - SKEW
    }
}

fn key(lives: &Lives, at: usize) -> (u16, u8) {
    let life = &lives.all()[at];
    (life.tag, life.algorithm.into())
}

/// How the parent comes to its DS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Parent {
    /// It asks some node for CDS now and then.
    Follows,
    /// Somebody replaces the old by the new.
    Replaced,
    /// Somebody adds the new, then removes the old.
    Added,
}

struct World {
    dice: Dice,
    now: Duration,
    lives: Lives,
    nodes: Vec<Node>,
    parent: Parent,
    /// What the parent's servers have; the second hears late.
    servers: [Keys; 2],
    held: Held,
    tag: u16,
    rolls: usize,
    unsigned: usize,
    cancelled: usize,
    refused: usize,
    combinations: usize,
}

impl World {
    fn new(seed: u64) -> Self {
        let node = |ahead| Node { lives: Lives::default(), on_their_way: Vec::new(), ahead, roles: None };
        Self {
            dice: Dice::seeded(seed),
            now: START,
            lives: Lives::default(),
            nodes: vec![node(Duration::ZERO), node(SKEW), node(2 * SKEW)],
            parent: Parent::Follows,
            servers: [Keys::new(), Keys::new()],
            held: Held::default(),
            tag: 0,
            rolls: 0,
            unsigned: 0,
            cancelled: 0,
            refused: 0,
            combinations: 0,
        }
    }

    /// Once in `so_many` times.
    fn happens(&mut self, so_many: u64) -> bool {
        self.dice.roll().is_multiple_of(so_many)
    }

    fn pass(&mut self) {
        self.now += STEP;
        for at in 0..self.nodes.len() {
            let node = &mut self.nodes[at];
            while node.on_their_way.first().is_some_and(|(when, _)| *when <= self.now) {
                node.lives = node.on_their_way.remove(0).1;
                node.roles = None;
            }
        }
        self.change_parent();
        self.operate();
        self.held.forget(self.now);
        if !self.hold() {
            // Nothing new is held: what is was looked at before.
            return;
        }
        let validated = self.held.validate();
        let after = (self.now - START).as_secs();
        assert!(validated.is_ok(), "{after} s after the start: {validated:?}\n{:#?}", self.lives);
        self.combinations += validated.unwrap_or_default();
    }

    /// Resolvers get what is served now. Whether any of it is new to them.
    fn hold(&mut self) -> bool {
        let mut is_new = false;
        for server in &self.servers {
            is_new |= self.held.ds.insert(server.clone(), self.now + DS_TTL).is_none();
        }
        for node in &mut self.nodes {
            let wall = node.wall(self.now);
            let is_over = |roles: &Roles| roles.until.is_some_and(|until| until <= wall);
            if node.roles.as_ref().is_none_or(is_over) {
                node.roles = Some(node.lives.roles(wall));
            }
            let roles = node.roles.as_ref().expect("just looked up");
            let of = |who: &[usize]| who.iter().map(|at| key(&node.lives, *at)).collect::<Keys>();
            let signed_by = of(&roles.sign_keys);
            let keys = (of(&roles.published), signed_by.clone());
            is_new |= self.held.dnskey.insert(keys, self.now + DNSKEY_TTL).is_none();
            is_new |= self.held.zone.insert(of(&roles.sign_zone), self.now + ZONE_TTL_MAX).is_none();
            // CDS and CDNSKEY may be held as long as anything.
            is_new |= self.held.zone.insert(signed_by, self.now + ZONE_TTL_MAX).is_none();
        }
        is_new
    }

    fn change_parent(&mut self) {
        if self.happens(8) {
            self.servers[1] = self.servers[0].clone();
        }
        if self.happens(5_000) {
            self.parent = [Parent::Follows, Parent::Replaced, Parent::Added][(self.dice.roll() % 3) as usize];
        }
        if !self.happens(20) {
            return;
        }
        let (lives, wall) = match self.parent {
            Parent::Follows => {
                let node = &self.nodes[(self.dice.roll() % 3) as usize];
                (node.lives.clone(), node.wall(self.now))
            }
            _ => (self.lives.clone(), self.now),
        };
        match lives.roles(wall).wanted {
            Wanted::Nothing => {}
            Wanted::Delete => self.servers[0] = Keys::new(),
            Wanted::Only(at) => {
                let wanted = key(&lives, at);
                if self.parent != Parent::Follows {
                    lives.may_be_vouched_for(wanted.0, wall).expect("what is wanted may be told");
                }
                let is_everywhere = self.servers.iter().all(|server| server.contains(&wanted));
                if self.parent == Parent::Added && !is_everywhere {
                    self.servers[0].insert(wanted);
                } else {
                    self.servers[0] = Keys::from([wanted]);
                }
            }
        }
    }

    fn new_key(&mut self) -> NewKey {
        self.tag += 1;
        let algorithm = if self.happens(2) { Algorithm::ED25519 } else { Algorithm::ECDSAP256SHA256 };
        NewKey { tag: self.tag, algorithm, parent_ttl: DS_TTL }
    }

    /// Somebody tries something, allowed or not; what is said of the parent is true.
    fn operate(&mut self) {
        if !self.happens(12) {
            return;
        }
        let living = self.lives.living(self.now);
        let picked = match self.dice.roll() % 8 {
            0 => self.dice.roll() % (self.lives.all().len() as u64 + 1),
            other => living.get(other as usize % 2).copied().unwrap_or_default() as u64,
        };
        let picked = self.lives.all().get(picked as usize).map_or(1, |life| life.tag);
        let has = |server: &Keys| server.iter().any(|key| key.0 == picked);
        let (seen, gone) = (self.servers.iter().all(has), !self.servers.iter().any(has));
        let step = match self.dice.roll() % 400 {
            0 => Step::ToUnsigned,
            1..=6 => Step::Cancel,
            7..=30 => Step::Generate(self.new_key()),
            31..=90 => Step::Roll(self.new_key()),
            91..=240 if seen => Step::DsSeen { tag: picked, parent_ttl: None },
            241..=390 if gone => Step::DsGone { tag: picked },
            391.. => Step::Forget { tag: picked },
            _ => return,
        };
        match self.lives.after(&step, self.now) {
            Ok(next) => {
                match step {
                    Step::Roll(_) => self.rolls += 1,
                    Step::ToUnsigned => self.unsigned += 1,
                    Step::Cancel => self.cancelled += 1,
                    _ => {}
                }
                self.lives = next;
                self.copy();
            }
            Err(Refusal::TooEarly { from, .. }) => {
                self.refused += 1;
                let just_before = from - Duration::from_nanos(1);
                assert!(self.lives.after(&step, just_before).is_err(), "{step:?} is allowed before it is said to be");
                let then = self.lives.after(&step, from);
                assert!(then.is_ok(), "{step:?} was said to be allowed, and {then:?}");
            }
            Err(_) => self.refused += 1,
        }
    }

    /// Each node hears of it within the hour, and of earlier things no later.
    fn copy(&mut self) {
        for at in 0..self.nodes.len() {
            let when = self.now + Duration::from_secs(self.dice.roll() % LATE.as_secs());
            let node = &mut self.nodes[at];
            node.on_their_way.retain(|(earlier, _)| *earlier < when);
            node.on_their_way.push((when, self.lives.clone()));
        }
    }
}

#[test]
fn no_resolver_ever_holds_what_does_not_validate() {
    assert!(LATE + 2 * SKEW <= PROPAGATION, "nodes are within what is promised");
    for seed in 1..=3 {
        println!("seed {seed}");
        let mut world = World::new(seed);
        while world.now < START + YEAR {
            world.pass();
        }
        let World { rolls, unsigned, cancelled, refused, combinations, .. } = world;
        println!(
            "{rolls} rolls, {unsigned} times unsigned, {cancelled} cancelled, {refused} refused, {combinations} held"
        );
        assert!(rolls >= 20 && refused > 500, "too little happened to prove anything");
        assert!(unsigned + cancelled > 2, "nobody went back");
    }
}

#[test]
fn the_validator_of_this_test_refuses_what_is_bogus() {
    let keys = |tags: &[(u16, u8)]| tags.iter().copied().collect::<Keys>();
    let (one, two) = (keys(&[(1, 13)]), keys(&[(2, 13)]));
    let (both, mixed) = (keys(&[(1, 13), (2, 13)]), keys(&[(1, 13), (2, 15)]));
    assert_eq!(validate(&one, &one, &one, &one), Ok(()));
    assert_eq!(validate(&Keys::new(), &one, &two, &Keys::new()), Ok(()), "insecure");
    assert_eq!(validate(&both, &both, &two, &one), Ok(()));
    validate(&two, &one, &one, &one).expect_err("DS of a key that is not published");
    validate(&two, &both, &one, &one).expect_err("DNSKEY not signed by the key of the DS");
    validate(&one, &one, &one, &two).expect_err("a signature of a key that is not published");
    validate(&one, &one, &one, &Keys::new()).expect_err("no signatures");
    validate(&mixed, &mixed, &one, &mixed).expect_err("an algorithm of the DS does not sign DNSKEY");
    validate(&one, &mixed, &mixed, &one).expect_err("an algorithm of DNSKEY does not sign the zone");
}
