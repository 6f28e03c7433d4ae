//! Which steps are allowed when.

use super::life::{Life, Lives, NewKey, Refusal, Step};
use super::timing::{PARENT_TTL_MAX, PARENT_TTL_MIN, PROPAGATION};
use std::time::Duration;

impl Lives {
    /// These lives after one more step at `now` (since the Unix epoch).
    ///
    /// # Errors
    /// Why the step is not allowed, and from when it is, if time alone is missing. Nothing is changed then.
    pub fn after(&self, step: &Step, now: Duration) -> Result<Self, Refusal> {
        if now < self.last {
            return Err(Refusal::Behind { now, last: self.last });
        }
        let mut next = Self { last: now, steps: self.steps + 1, lives: self.lives.clone() };
        match step {
            Step::Generate(key) => next.generate(key, now),
            Step::Roll(key) => next.roll(key, now),
            Step::DsSeen { tag, parent_ttl } => next.ds_seen(*tag, *parent_ttl, now),
            Step::DsGone { tag } => next.ds_gone(*tag, now),
            Step::ToUnsigned => next.go_unsigned(now),
            Step::Cancel => next.cancel(now),
            Step::Forget { tag } => next.forget(*tag, now),
        }?;
        Ok(next)
    }

    /// Whether the parent may be asked to vouch for this key: whether its DS may be told to anybody.
    ///
    /// # Errors
    /// Why not, and from when, if time alone is missing.
    pub fn may_be_vouched_for(&self, tag: u16, now: Duration) -> Result<(), Refusal> {
        let at = self.found(tag, now)?;
        let life = &self.lives[at];
        if life.cancelled.is_some() || life.withdrawn.is_some() {
            return Err(not_now(format!("key {tag} is being taken back")));
        }
        if let Some(next) = self.successor(at).map(|next| &self.lives[next]).filter(|next| next.ds_seen.is_some()) {
            return Err(not_now(format!("key {} replaces key {tag}", next.tag)));
        }
        let from = self.course(at).ready;
        if now < from {
            let why = format!("some resolvers do not know key {tag} yet, and would fail with its DS");
            return Err(Refusal::TooEarly { why, from });
        }
        Ok(())
    }

    fn generate(&mut self, key: &NewKey, now: Duration) -> Result<(), Refusal> {
        let living = self.living(now);
        if let Some(from) = self.all_removed(&living) {
            let why = "some resolvers still hold the DS of the key before".to_owned();
            return Err(Refusal::TooEarly { why, from });
        }
        if let Some(newest) = living.last() {
            let tag = self.lives[*newest].tag;
            return Err(not_now(format!("the zone has the key {tag} already: `roll` brings another")));
        }
        self.begin(key, None, now)
    }

    fn roll(&mut self, key: &NewKey, now: Duration) -> Result<(), Refusal> {
        let living = self.living(now);
        let only = match living[..] {
            [] => {
                return Err(not_now(
                    "the zone has no key that could be followed: `generate` makes the first".to_owned(),
                ));
            }
            [only] => only,
            [old, new, ..] => {
                let leaving = if self.lives[new].cancelled.is_some() { new } else { old };
                let tag = self.lives[leaving].tag;
                return Err(match self.course(leaving).removed {
                    Some(from) => Refusal::TooEarly { why: format!("key {tag} is not out of all caches yet"), from },
                    None => not_now(format!("the roll before is not done: key {tag} is still needed (see `status`)")),
                });
            }
        };
        let life = &self.lives[only];
        if life.withdrawn.is_some() {
            return Err(not_now(
                "the zone is on its way to being unsigned: `roll --cancel` keeps it signed".to_owned(),
            ));
        }
        match self.course(only).active {
            None => Err(not_now(format!(
                "the parent does not vouch for key {} yet: give it the DS, then say `roll --ds-seen {0}`",
                life.tag
            ))),
            Some(from) if now < from => {
                Err(Refusal::TooEarly { why: format!("key {} is not believed by everybody yet", life.tag), from })
            }
            Some(_) => self.begin(key, Some(only), now),
        }
    }

    fn begin(&mut self, key: &NewKey, follows: Option<usize>, now: Duration) -> Result<(), Refusal> {
        if self.lives.iter().any(|life| life.tag == key.tag) {
            return Err(Refusal::TagUsed(key.tag));
        }
        let parent_ttl = believable(key.parent_ttl)?;
        self.lives.push(Life {
            tag: key.tag,
            algorithm: key.algorithm,
            parent_ttl,
            created: now,
            follows,
            ds_seen: None,
            ds_gone: None,
            withdrawn: None,
            cancelled: None,
            forgotten: None,
        });
        Ok(())
    }

    fn ds_seen(&mut self, tag: u16, parent_ttl: Option<Duration>, now: Duration) -> Result<(), Refusal> {
        self.may_be_vouched_for(tag, now)?;
        let at = self.found(tag, now)?;
        let life = &mut self.lives[at];
        if life.ds_seen.is_some() {
            return Err(not_now(format!("the DS of key {tag} was seen before")));
        }
        if let Some(ttl) = parent_ttl {
            life.parent_ttl = life.parent_ttl.max(believable(ttl)?);
        }
        life.ds_seen = Some(now);
        Ok(())
    }

    fn ds_gone(&mut self, tag: u16, now: Duration) -> Result<(), Refusal> {
        let at = self.found(tag, now)?;
        let is_replaced = self.successor(at).is_some_and(|next| self.lives[next].ds_seen.is_some());
        let life = &mut self.lives[at];
        if life.ds_gone.is_some() {
            return Err(not_now(format!("the DS of key {tag} was gone before")));
        }
        if !is_replaced && life.withdrawn.is_none() && life.cancelled.is_none() {
            let text = "its DS must stay at the parent until another key's is seen there, or the zone goes unsigned";
            return Err(not_now(format!("key {tag} is needed: {text}")));
        }
        let taken_back = life.withdrawn.max(life.cancelled);
        if let Some(from) = taken_back.map(|since| since + PROPAGATION).filter(|from| now < *from) {
            let why = format!("a node that has not heard of it may still ask the parent for the DS of key {tag}");
            return Err(Refusal::TooEarly { why, from });
        }
        life.ds_gone = Some(now);
        Ok(())
    }

    fn go_unsigned(&mut self, now: Duration) -> Result<(), Refusal> {
        let living = self.living(now);
        let [only] = living[..] else {
            return Err(not_now(match living.len() {
                0 => "the zone is unsigned".to_owned(),
                _ => "a roll is under way: finish it, or `roll --cancel` it, first".to_owned(),
            }));
        };
        let ready = self.course(only).ready;
        let life = &mut self.lives[only];
        if life.withdrawn.is_some() {
            return Err(not_now("the zone is on its way to being unsigned already".to_owned()));
        }
        if now + PROPAGATION <= ready {
            // Nobody was told of the key: nothing has to be waited for.
            life.cancelled = Some(now);
        } else if now < ready {
            let why = format!("the parent may be asked to vouch for key {} any moment", life.tag);
            return Err(Refusal::TooEarly { why, from: ready });
        } else {
            life.withdrawn = Some(now);
        }
        Ok(())
    }

    fn cancel(&mut self, now: Duration) -> Result<(), Refusal> {
        let nothing = || not_now("there is nothing to cancel".to_owned());
        let newest = *self.living(now).last().ok_or_else(nothing)?;
        let course = self.course(newest);
        let life = &mut self.lives[newest];
        if life.withdrawn.is_some() {
            if life.ds_gone.is_some() {
                return Err(not_now(
                    "the DS is gone: the zone will be unsigned, then `generate` signs it anew".to_owned(),
                ));
            }
            life.withdrawn = None;
            return Ok(());
        }
        if life.cancelled.is_some() {
            return Err(not_now(format!("key {} is cancelled already", life.tag)));
        }
        let Some(before) = life.follows else {
            return Err(not_now(format!(
                "key {} is the zone's only one: `roll --to-unsigned` takes it back",
                life.tag
            )));
        };
        if course.active.is_some_and(|active| active < now + PROPAGATION) {
            return Err(not_now(format!("key {} is in force, or is about to be: another roll replaces it", life.tag)));
        }
        life.cancelled = Some(now);
        self.lives[before].ds_gone = None;
        Ok(())
    }

    fn forget(&mut self, tag: u16, now: Duration) -> Result<(), Refusal> {
        let known = || self.living(now).into_iter().map(|at| self.lives[at].tag).collect();
        let at = self.lives.iter().position(|life| life.tag == tag);
        let at = at.ok_or_else(|| Refusal::UnknownKey { tag, known: known() })?;
        if self.lives[at].forgotten.is_some() {
            return Err(not_now(format!("the private half of key {tag} is destroyed already")));
        }
        match self.course(at).removed.map(|removed| removed + PROPAGATION) {
            None => return Err(not_now(format!("key {tag} is needed"))),
            Some(from) if now < from => {
                return Err(Refusal::TooEarly { why: format!("nodes may still sign with key {tag}"), from });
            }
            Some(_) => self.lives[at].forgotten = Some(now),
        }
        Ok(())
    }

    /// The living key with this tag.
    fn found(&self, tag: u16, now: Duration) -> Result<usize, Refusal> {
        let living = self.living(now);
        let found = living.iter().find(|at| self.lives[**at].tag == tag);
        found
            .copied()
            .ok_or_else(|| Refusal::UnknownKey { tag, known: living.iter().map(|at| self.lives[*at].tag).collect() })
    }

    /// When the last of these is removed, if that is known of all, and there are any.
    fn all_removed(&self, these: &[usize]) -> Option<Duration> {
        let ends = these.iter().map(|at| self.course(*at).removed).collect::<Option<Vec<_>>>()?;
        ends.into_iter().max()
    }
}

fn not_now(text: String) -> Refusal {
    Refusal::NotNow(text)
}

fn believable(ttl: Duration) -> Result<Duration, Refusal> {
    (PARENT_TTL_MIN..=PARENT_TTL_MAX).contains(&ttl).then_some(ttl).ok_or(Refusal::ParentTtl(ttl))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dnssec::roles::Wanted;
    use hickory_proto::dnssec::Algorithm;

    const START: u64 = 1_795_305_600;
    const HOUR: u64 = 3_600;
    const DAY: u64 = 24 * HOUR;

    /// A zone's keys and the time, in hours since the start.
    struct World {
        lives: Lives,
        now: Duration,
    }

    impl World {
        fn new() -> Self {
            Self { lives: Lives::default(), now: Duration::from_secs(START) }
        }

        fn pass(&mut self, seconds: u64) -> &mut Self {
            self.now += Duration::from_secs(seconds);
            self
        }

        fn take(&mut self, step: &Step) -> &mut Self {
            self.lives = self.lives.after(step, self.now).expect("allowed");
            self
        }

        fn refuses(&self, step: &Step) -> Refusal {
            self.lives.after(step, self.now).expect_err("not allowed")
        }

        /// A step is refused until `seconds` have passed, and then allowed.
        fn waits(&mut self, seconds: u64, step: &Step) -> &mut Self {
            let from = self.now + Duration::from_secs(seconds);
            self.pass(seconds - 1);
            match self.refuses(step) {
                Refusal::TooEarly { from: told, .. } => assert_eq!(told, from, "{step:?}"),
                other => panic!("{step:?} is refused with {other}"),
            }
            self.pass(1).take(step)
        }

        /// Who is published, signs keys, signs the zone, and is wanted at the parent, as tags.
        fn roles(&self) -> (Vec<u16>, Vec<u16>, Vec<u16>, Option<u16>) {
            let roles = self.lives.roles(self.now);
            let tags = |who: &[usize]| who.iter().map(|at| self.lives.all()[*at].tag).collect();
            let wanted = match roles.wanted {
                Wanted::Nothing => None,
                Wanted::Only(at) => Some(self.lives.all()[at].tag),
                Wanted::Delete => Some(0),
            };
            (tags(&roles.published), tags(&roles.sign_keys), tags(&roles.sign_zone), wanted)
        }
    }

    fn key(tag: u16, algorithm: Algorithm) -> NewKey {
        NewKey { tag, algorithm, parent_ttl: Duration::from_secs(DAY) }
    }

    fn p256(tag: u16) -> NewKey {
        key(tag, Algorithm::ECDSAP256SHA256)
    }

    fn seen(tag: u16) -> Step {
        Step::DsSeen { tag, parent_ttl: None }
    }

    fn active() -> World {
        let mut world = World::new();
        world.take(&Step::Generate(p256(1))).pass(30 * HOUR).take(&seen(1)).pass(HOUR);
        world
    }

    #[test]
    fn a_first_key_signs_at_once_and_goes_to_the_parent_when_no_cache_is_without_signatures() {
        let mut world = World::new();
        assert_eq!(world.roles(), (vec![], vec![], vec![], None));
        world.take(&Step::Generate(p256(1)));
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], None));
        world.lives.may_be_vouched_for(1, world.now).expect_err("too early");
        world.waits(DAY + HOUR, &seen(1));
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(1)));
        assert_eq!(world.lives.roles(world.now).until, None);
    }

    #[test]
    fn a_roll_publishes_then_is_vouched_for_then_signs_then_lets_the_old_key_go() {
        let mut world = active();
        world.take(&Step::Roll(p256(2)));
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1], Some(1)));
        world.waits(2 * HOUR, &seen(2));
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1], Some(2)));
        world.take(&Step::DsGone { tag: 1 }).pass(DAY + HOUR - 1);
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1], Some(2)));
        world.pass(1);
        assert_eq!(world.roles(), (vec![1, 2], vec![2], vec![2], Some(2)));
        world.waits(DAY + HOUR, &Step::Roll(p256(3)));
        assert_eq!(world.roles(), (vec![2, 3], vec![2, 3], vec![2], Some(2)));
    }

    #[test]
    fn an_old_key_stays_until_its_ds_is_gone_from_the_parent_and_from_caches() {
        let mut world = active();
        world.take(&Step::Roll(p256(2))).pass(2 * HOUR).take(&seen(2)).pass(30 * DAY);
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![2], Some(2)));
        assert!(matches!(world.refuses(&Step::Roll(p256(3))), Refusal::NotNow(_)));
        world.take(&Step::DsGone { tag: 1 }).waits(DAY + HOUR, &Step::Roll(p256(3)));
    }

    #[test]
    fn another_algorithm_signs_before_it_is_published_and_until_its_dnskey_is_forgotten() {
        let mut world = active();
        world.take(&Step::Roll(key(2, Algorithm::ED25519)));
        assert_eq!(world.roles(), (vec![1], vec![1, 2], vec![1, 2], Some(1)));
        world.pass(DAY + HOUR - 1);
        assert_eq!(world.roles(), (vec![1], vec![1, 2], vec![1, 2], Some(1)));
        world.pass(1);
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1, 2], Some(1)));
        world.waits(2 * HOUR, &seen(2)).take(&Step::DsGone { tag: 1 });
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1, 2], Some(2)));
        world.pass(DAY + HOUR);
        assert_eq!(world.roles(), (vec![2], vec![1, 2], vec![1, 2], Some(2)));
        world.waits(2 * HOUR, &Step::Roll(key(3, Algorithm::ED25519)));
        assert_eq!(world.roles(), (vec![2, 3], vec![2, 3], vec![2], Some(2)));
    }

    #[test]
    fn a_zone_goes_unsigned_when_no_cache_holds_its_ds() {
        let mut world = active();
        assert!(matches!(world.refuses(&Step::DsGone { tag: 1 }), Refusal::NotNow(_)));
        world.take(&Step::ToUnsigned);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(0)));
        world.pass(90 * DAY);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(0)));
        world.take(&Step::DsGone { tag: 1 }).waits(DAY + HOUR, &Step::Generate(p256(2)));
        assert_eq!(world.roles(), (vec![2], vec![2], vec![2], None));
    }

    #[test]
    fn a_key_that_nobody_was_told_of_goes_at_once_and_another_only_when_no_cache_trusts_it() {
        let mut world = active();
        world.take(&Step::Roll(p256(2))).pass(HOUR - 1).take(&Step::Cancel);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(1)));
        world.take(&Step::Roll(p256(3))).pass(2 * HOUR).take(&Step::Cancel);
        assert_eq!(world.roles(), (vec![1, 3], vec![1, 3], vec![1], Some(1)));
        world.pass(30 * DAY);
        assert_eq!(world.roles(), (vec![1, 3], vec![1, 3], vec![1], Some(1)));
        world.take(&Step::DsGone { tag: 3 }).waits(DAY + HOUR, &Step::Roll(p256(4)));
        assert_eq!(world.roles(), (vec![1, 4], vec![1, 4], vec![1], Some(1)));
    }

    #[test]
    fn a_key_at_the_parent_is_cancelled_until_shortly_before_it_is_in_force() {
        let mut world = active();
        world.take(&Step::Roll(p256(2))).pass(2 * HOUR).take(&seen(2)).take(&Step::DsGone { tag: 1 }).pass(DAY);
        let mut late = World { lives: world.lives.clone(), now: world.now };
        assert!(matches!(late.pass(1).refuses(&Step::Cancel), Refusal::NotNow(_)));
        world.take(&Step::Cancel).pass(2 * DAY);
        assert_eq!(world.roles(), (vec![1, 2], vec![1, 2], vec![1], Some(1)));
        assert!(matches!(world.refuses(&Step::DsGone { tag: 1 }), Refusal::NotNow(_)));
        world.take(&Step::DsGone { tag: 2 }).pass(DAY + HOUR);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(1)));
    }

    #[test]
    fn a_cancelled_algorithm_signs_until_its_dnskey_is_forgotten() {
        let mut world = active();
        world.take(&Step::Roll(key(2, Algorithm::ED25519))).pass(HOUR).take(&Step::Cancel);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(1)), "it was not published");
        world.take(&Step::Roll(key(3, Algorithm::ED25519))).pass(DAY + HOUR).take(&Step::Cancel);
        assert_eq!(world.roles(), (vec![1], vec![1, 3], vec![1, 3], Some(1)), "it was published just now");
        world.waits(2 * HOUR, &Step::Roll(p256(4)));
        assert_eq!(world.roles(), (vec![1, 4], vec![1, 4], vec![1], Some(1)));
    }

    #[test]
    fn going_unsigned_is_cancelled_while_the_ds_is_there() {
        let mut world = active();
        world.take(&Step::ToUnsigned).pass(DAY).take(&Step::Cancel);
        assert_eq!(world.roles(), (vec![1], vec![1], vec![1], Some(1)));
        // Before, a node that has not heard of it may still bring the DS back.
        world.take(&Step::ToUnsigned).waits(HOUR, &Step::DsGone { tag: 1 });
        assert!(matches!(world.refuses(&Step::Cancel), Refusal::NotNow(_)));
        let mut fresh = World::new();
        fresh.take(&Step::Generate(p256(1))).pass(DAY).take(&Step::ToUnsigned);
        assert_eq!(fresh.roles(), (vec![], vec![], vec![], None), "nobody was told of it");
        fresh.take(&Step::Generate(p256(2))).pass(DAY + 1);
        assert!(matches!(fresh.refuses(&Step::ToUnsigned), Refusal::TooEarly { .. }));
    }

    #[test]
    fn steps_that_make_no_sense_are_refused_with_what_would() {
        let world = World::new();
        for (step, part) in [
            (Step::Roll(p256(1)), "`generate` makes the first"),
            (seen(1), "there is no key 1 here; the zone has none"),
            (Step::ToUnsigned, "unsigned"),
            (Step::Cancel, "nothing to cancel"),
            (Step::Generate(NewKey { parent_ttl: Duration::from_secs(59), ..p256(1) }), "from 60 to 604800 s"),
        ] {
            let told = world.refuses(&step).to_string();
            assert!(told.contains(part), "{told}");
        }
        let mut world = active();
        for (step, part) in [
            (Step::Generate(p256(2)), "has the key 1 already"),
            (Step::Roll(p256(1)), "make another"),
            (seen(1), "was seen before"),
            (seen(2), "there are 1"),
            (Step::Cancel, "`roll --to-unsigned` takes it back"),
            (Step::Forget { tag: 1 }, "needed"),
        ] {
            let told = world.refuses(&step).to_string();
            assert!(told.contains(part), "{told}");
        }
        world.now -= Duration::from_secs(2 * HOUR);
        let told = world.refuses(&Step::Roll(p256(2))).to_string();
        assert!(told.contains("mend the clock"), "{told}");
    }

    #[test]
    fn a_longer_ttl_at_the_parent_is_waited_for() {
        let mut world = active();
        world.take(&Step::Roll(p256(2))).pass(2 * HOUR);
        world.take(&Step::DsSeen { tag: 2, parent_ttl: Some(Duration::from_secs(2 * DAY)) });
        world.take(&Step::DsGone { tag: 1 }).pass(2 * DAY);
        assert_eq!(world.roles().2, [1]);
        world.pass(HOUR);
        assert_eq!(world.roles().2, [2]);
    }

    #[test]
    fn a_removed_key_is_forgotten_once() {
        let mut world = active();
        world.take(&Step::Roll(p256(2))).pass(2 * HOUR).take(&seen(2)).take(&Step::DsGone { tag: 1 });
        world.waits(2 * (DAY + HOUR) + HOUR, &Step::Forget { tag: 1 });
        assert!(matches!(world.refuses(&Step::Forget { tag: 1 }), Refusal::NotNow(_)));
    }

    #[test]
    fn a_clock_that_jumped_back_changes_nothing() {
        let world = active();
        let behind = world.now - Duration::from_secs(40 * DAY);
        assert_eq!(world.lives.roles(behind), world.lives.roles(world.lives.last_step()));
    }
}
