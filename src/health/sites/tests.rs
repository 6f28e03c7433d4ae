//! What is concluded of sites, in virtual time.

use super::*;
use crate::topology::check::check;
use std::path::Path;

/// Sites of these names and addresses; the first is this node's.
fn topology(sites: &[(&str, &str)]) -> Topology {
    let tables: String = sites
        .iter()
        .map(|(name, address)| {
            format!("[[site]]\nname = \"{name}\"\nlatitude = 0.0\nlongitude = 0.0\naddresses = [{address}]\n")
        })
        .collect();
    let text = format!(
        "[fleet]\nname = \"test\"\nzone = \"gw.test\"\n{tables}[probe]\nkind = \"tcp\"\n\
         [[region]]\nname = \"r\"\nprovider = \"p\"\ncountry = \"US\"\nlatitude = 0.0\nlongitude = 0.0\n\
         [[region.endpoint]]\nurl = \"http://127.0.0.1:9\"\n"
    );
    check(&text, Path::new("regions.toml")).expect("it is right").topology
}

fn numbered(count: usize) -> Vec<(String, String)> {
    (0..count).map(|at| (format!("s{at}"), format!("\"192.0.2.{at}\""))).collect()
}

struct World(Sites);

impl World {
    fn of(count: usize) -> Self {
        let sites = numbered(count);
        let sites: Vec<(&str, &str)> = sites.iter().map(|(name, address)| (&**name, &**address)).collect();
        Self::with(&topology(&sites))
    }

    fn with(topology: &Topology) -> Self {
        let mut sites = Sites::default();
        sites.reload(Moment::ZERO, topology, &topology.sites[0]);
        Self(sites)
    }

    /// Asks a site so often, one second after the other.
    fn ask(&mut self, second: u64, name: &str, times: u64, result: Result<(), Fault>) {
        let name = Label::parse(name).expect("a name");
        for time in 0..times {
            self.0.asked(Moment::at(Duration::from_secs(second + time)), &name, result);
        }
    }

    fn fails(&mut self, second: u64, name: &str) {
        self.ask(second, name, 3, Err(Fault::Refused));
    }

    /// The numbers of the sites that are left out.
    fn left_out(&self) -> Vec<usize> {
        let states = self.0.states(None);
        (0..states.len()).filter(|at| states[*at].is_left_out).collect()
    }

    fn standing(&self, at: usize) -> &'static str {
        self.0.states(None)[at].standing.as_str()
    }
}

#[test]
fn three_failures_leave_a_site_out_and_three_answers_bring_it_back() {
    let mut world = World::of(5);
    for name in ["s1", "s2", "s3", "s4"] {
        world.ask(0, name, 1, Ok(()));
    }
    world.ask(10, "s2", 2, Err(Fault::Silent));
    assert_eq!((world.standing(2), world.left_out()), ("up", vec![]));
    world.ask(12, "s2", 1, Err(Fault::Silent));
    assert_eq!((world.standing(2), world.left_out()), ("down", vec![2]));
    assert_eq!(world.0.states(None)[2].since, Moment::at(Duration::from_secs(12)));
    world.ask(20, "s2", 2, Ok(()));
    assert_eq!(world.left_out(), [2]);
    world.ask(22, "s2", 1, Ok(()));
    assert_eq!((world.standing(2), world.left_out()), ("up", vec![]));
}

#[test]
fn a_site_that_says_it_drains_is_left_out_at_once() {
    let mut world = World::of(4);
    world.ask(0, "s1", 1, Err(DRAINING));
    assert_eq!((world.standing(1), world.left_out()), ("draining", vec![1]));
    // That others drain at the same time says nothing about our network.
    world.ask(0, "s2", 1, Err(DRAINING));
    assert_eq!(world.left_out(), [1, 2]);
}

#[test]
fn most_at_once_is_our_own_fault_and_one_after_the_other_is_not() {
    let mut world = World::of(7);
    for (second, name) in [(100, "s1"), (104, "s2"), (108, "s3"), (112, "s4")] {
        world.fails(second, name);
    }
    assert!(world.left_out().is_empty(), "four of six within the window");
    assert_eq!(world.standing(1), "down", "which is shown all the same");
    let mut world = World::of(7);
    for (second, name) in [(100, "s1"), (120, "s2"), (140, "s3"), (160, "s4")] {
        world.fails(second, name);
    }
    assert_eq!(world.left_out(), [1, 2, 3], "those that failed first, as many as may be");
}

#[test]
fn an_old_failure_is_not_excused_by_a_new_suspicion() {
    let mut world = World::of(6);
    world.fails(10, "s5");
    assert_eq!(world.left_out(), [5]);
    for name in ["s1", "s2", "s3"] {
        world.fails(500, name);
    }
    assert_eq!(world.left_out(), [5]);
    for name in ["s1", "s2", "s3"] {
        world.ask(520, name, 3, Ok(()));
    }
    assert_eq!(world.left_out(), [5]);
}

#[test]
fn what_fails_while_the_node_suspects_its_network_is_left_in() {
    let mut world = World::of(5);
    world.fails(50, "s1");
    let left_out = |since: u64| world.0.states(Some(Moment::at(Duration::from_secs(since))))[1].is_left_out;
    assert!(left_out(51) && !left_out(50), "as long as that has begun before");
}

#[test]
fn enough_sites_stay_in_the_answers() {
    for (count, may_go) in [(1, 0), (2, 0), (3, 1), (4, 2), (5, 2), (8, 4), (9, 4)] {
        let mut world = World::of(count);
        for at in 1..count {
            world.fails(100 * at as u64, &format!("s{at}"));
        }
        assert_eq!(world.left_out(), (1..=may_go).collect::<Vec<_>>(), "{count} sites");
    }
}

#[test]
fn shared_addresses_are_judged_by_nobody_and_nor_is_this_site() {
    let sites = [
        ("s0", "\"192.0.2.1\", \"192.0.2.9\""),
        ("s1", "\"192.0.2.1\""),
        ("s2", "\"192.0.2.1\", \"192.0.2.2\""),
        ("s3", "\"192.0.2.3\""),
        ("s4", "\"192.0.2.3\""),
        ("s5", ""),
    ];
    let topology = topology(&sites);
    let mut world = World::with(&topology);
    let standings: Vec<&str> = (0..6).map(|at| world.standing(at)).collect();
    assert_eq!(standings, ["here", "shared", "unknown", "shared", "shared", "shared"]);
    let asked: Vec<bool> = world.0.states(None).iter().map(|state| state.pace.is_some()).collect();
    assert_eq!(asked, [false, false, true, false, false, false]);
    assert_eq!(topology.own_addresses(2), ["192.0.2.2:443".parse().expect("an address")], "the other is shared");
    for (at, name) in ["s0", "s1", "s3", "s4", "s5"].into_iter().enumerate() {
        world.fails(100 * at as u64, name);
    }
    assert!(world.left_out().is_empty());
}

#[test]
fn what_is_known_follows_a_site_while_the_way_there_is_the_same() {
    let mut world = World::of(4);
    world.fails(0, "s1");
    world.ask(0, "s2", 1, Ok(()));
    let reloaded = topology(&[
        ("s0", "\"192.0.2.0\""),
        ("s2", "\"192.0.2.2\""),
        ("s1", "\"192.0.2.1\""),
        ("s3", "\"192.0.2.33\""),
    ]);
    world.0.reload(Moment::at(Duration::from_secs(9)), &reloaded, &reloaded.sites[0]);
    assert_eq!([1, 2, 3].map(|at| world.standing(at)), ["up", "down", "unknown"]);
    let moved = topology(&[
        ("s0", "\"192.0.2.0\""),
        ("s1", "\"192.0.2.111\""),
        ("s2", "\"192.0.2.2\""),
        ("s3", "\"192.0.2.3\""),
    ]);
    world.0.reload(Moment::at(Duration::from_secs(9)), &moved, &moved.sites[0]);
    assert_eq!([1, 2].map(|at| world.standing(at)), ["unknown", "up"]);
    world.ask(10, "gone", 3, Err(Fault::Silent));
}
