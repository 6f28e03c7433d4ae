//! Other configurations that are like the published one: smaller, with names of their own, with capacities, with fences.
//!
//! Every seed has one, and a quarter has the published one as it is.

use crate::moment::Dice;
use toml::{Table, Value};

/// The configuration of a seed, made of `config`.
#[must_use]
pub fn of(config: &str, seed: u64) -> String {
    let mut dice = Dice::seeded(crate::moment::mix(seed ^ 0x76_6172));
    if dice.roll().is_multiple_of(4) {
        return config.to_owned();
    }
    let Ok(mut table) = config.parse::<Table>() else { return config.to_owned() };
    if dice.roll().is_multiple_of(2) {
        fewer(&mut table, &mut dice);
    }
    if dice.roll().is_multiple_of(2) {
        zone(&mut table, &mut dice);
    }
    if dice.roll().is_multiple_of(3) {
        capacities(&mut table, &mut dice);
    }
    if dice.roll().is_multiple_of(3) {
        hostnames(&mut table, &mut dice);
    }
    table.to_string()
}

fn below(dice: &mut Dice, end: usize) -> usize {
    usize::try_from(dice.roll() % (end.max(1) as u64)).unwrap_or(0)
}

fn tables<'a>(table: &'a mut Table, key: &str) -> impl Iterator<Item = &'a mut Table> {
    table.get_mut(key).and_then(Value::as_array_mut).into_iter().flatten().filter_map(Value::as_table_mut)
}

/// Only some of the regions are left, and of the hostnames those that still have some.
fn fewer(table: &mut Table, dice: &mut Dice) {
    let kept = 3 + below(dice, 5);
    let mut names: Vec<String> =
        tables(table, "region").filter_map(|region| Some(region.get("name")?.as_str()?.to_owned())).collect();
    while names.len() > kept {
        let at = below(dice, names.len());
        names.remove(at);
    }
    let is_kept =
        |value: &Value| value.as_str().is_some_and(|name| name == "*" || names.iter().any(|kept| kept == name));
    if let Some(regions) = table.get_mut("region").and_then(Value::as_array_mut) {
        regions.retain(|region| region.get("name").is_some_and(is_kept));
    }
    for hostname in tables(table, "hostname") {
        for key in ["regions", "fallback"] {
            if let Some(list) = hostname.get_mut(key).and_then(Value::as_array_mut) {
                list.retain(is_kept);
            }
        }
    }
    if let Some(hostnames) = table.get_mut("hostname").and_then(Value::as_array_mut) {
        let has_some = |hostname: &Value| {
            hostname.get("regions").and_then(Value::as_array).is_some_and(|regions| !regions.is_empty())
        };
        hostnames.retain(has_some);
    }
}

/// Nodes answer DNS: clients come by names, some of them past the front door.
fn zone(table: &mut Table, dice: &mut Dice) {
    let name = table.get("fleet").and_then(|fleet| fleet.get("zone")).and_then(Value::as_str);
    let Some(name) = name.map(str::to_owned) else { return };
    let mut zone = Table::new();
    zone.insert("nameservers".into(), Value::Array(vec![format!("ns1.{name}").into()]));
    zone.insert("hostmaster".into(), format!("dns@{name}").into());
    table.insert("zone".into(), zone.into());
    for (at, region) in tables(table, "region").enumerate() {
        region.insert("addresses".into(), Value::Array(vec![format!("198.51.100.{}", at + 1).into()]));
    }
    for hostname in tables(table, "hostname") {
        if dice.roll().is_multiple_of(4) {
            hostname.insert("answer".into(), "region".into());
        }
    }
}

/// Some regions take so many requests at once from a node.
fn capacities(table: &mut Table, dice: &mut Dice) {
    for region in tables(table, "region") {
        if dice.roll().is_multiple_of(2) {
            let most = [1, 2, 4, 8, 32][below(dice, 5)];
            region.insert("capacity".into(), Value::Integer(most));
        }
    }
}

/// Fences, other steering, no last resort.
fn hostnames(table: &mut Table, dice: &mut Dice) {
    let written: Vec<String> =
        tables(table, "region").filter_map(|region| Some(region.get("country")?.as_str()?.to_owned())).collect();
    for hostname in tables(table, "hostname") {
        match below(dice, 6) {
            0 => drop(hostname.insert("steering".into(), "latency".into())),
            1 => drop(hostname.insert("steering".into(), "weighted".into())),
            2 => drop(hostname.insert("all_down".into(), "refuse".into())),
            3 if !written.is_empty() => {
                // A fence around one of its countries and a few others.
                let some = (0..3).map(|_| Value::from(written[below(dice, written.len())].clone()));
                let mut some: Vec<Value> = some.collect();
                some.dedup();
                hostname.insert("residency".into(), Value::Array(some));
            }
            _ => {}
        }
    }
}
