//! How small a script gets, and what stays in it.

use super::*;
use crate::names::Label;
use crate::sim::scenario::{Program, Whom};

fn region(name: &str) -> Whom {
    Whom::Regions(vec![Label::parse(name).expect("a name")])
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn crowded(faults: Vec<Fault>) -> Scenario {
    Scenario { faults, ..Scenario::default() }
}

/// Twelve faults of which one matters.
fn twelve() -> Scenario {
    let fault = |at: u64| Fault {
        at: seconds(100 * at + 7),
        lasts: Some(seconds(333)),
        what: if at == 7 {
            What::Errors(
                Whom::Regions(["iad", "bom", "sin"].map(|name| Label::parse(name).expect("a name")).to_vec()),
                0.37,
                502,
            )
        } else {
            What::Refuse(region("lhr"))
        },
    };
    crowded((0..12).map(fault).collect())
}

fn hits_bom(scenario: &Scenario) -> bool {
    let bom = Label::parse("bom").expect("a name");
    scenario
        .faults
        .iter()
        .any(|fault| matches!(&fault.what, What::Errors(Whom::Regions(list), ..) if list.contains(&bom)))
}

#[test]
fn only_the_fault_that_matters_is_left_and_it_is_plain() {
    let shrunk = shrink(twelve(), 1_000, hits_bom);
    let [fault] = &*shrunk.scenario.faults else { panic!("{:?}", shrunk.scenario.faults) };
    assert_eq!(fault.what, What::Errors(region("bom"), 1.0, 503));
    assert_eq!(fault.at, Duration::ZERO);
    assert!(fault.lasts.is_none_or(|length| length <= Duration::from_millis(1)), "{:?}", fault.lasts);
    assert!(shrunk.scenario.lasts <= seconds(2), "{:?}", shrunk.scenario.lasts);
    let crowd = &shrunk.scenario.crowd;
    assert_eq!((crowd.clients, crowd.programs.len(), crowd.work.len(), crowd.resolvers.len()), (1, 1, 1, 1));
    assert!(shrunk.trials < 200, "{} trials", shrunk.trials);
}

#[test]
fn what_has_to_be_there_stays() {
    // It fails only with two faults that overlap for a minute, a hundred clients and somebody who hammers.
    let fails = |scenario: &Scenario| {
        let long = |fault: &Fault| fault.lasts.is_none_or(|length| length >= seconds(60));
        scenario.faults.iter().filter(|fault| long(fault)).count() >= 2
            && scenario.lasts >= seconds(600)
            && scenario.crowd.clients >= 100
            && scenario.crowd.programs.iter().any(|(program, _)| *program == Program::Hammer)
    };
    let shrunk = shrink(twelve(), 2_000, fails);
    assert!(fails(&shrunk.scenario));
    assert_eq!(shrunk.scenario.faults.len(), 2);
    assert!((seconds(600)..seconds(640)).contains(&shrunk.scenario.lasts), "{:?}", shrunk.scenario.lasts);
    assert!((100..112).contains(&shrunk.scenario.crowd.clients), "{}", shrunk.scenario.crowd.clients);
    assert_eq!(shrunk.scenario.crowd.programs.len(), 1);
    assert!(shrunk.scenario.faults.is_sorted_by_key(|fault| fault.at));
}

#[test]
fn what_is_small_is_left_alone_and_nothing_is_tried_for_ever() {
    let small = shrink(twelve(), 1_000, hits_bom).scenario;
    let again = shrink(small.clone(), 1_000, hits_bom);
    assert_eq!(again.scenario, small);
    let mut asked = 0;
    let stopped = shrink(twelve(), 5, |scenario| {
        asked += 1;
        hits_bom(scenario)
    });
    assert_eq!((asked, stopped.trials), (5, 5));
    assert!(hits_bom(&stopped.scenario));
    let mut never = 0;
    let whole = shrink(twelve(), 1_000, |_| {
        never += 1;
        false
    });
    assert_eq!(whole.scenario, twelve(), "what does not fail any more is never taken");
}
