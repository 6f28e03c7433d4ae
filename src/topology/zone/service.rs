//! Parameters of HTTPS and SVCB records (RFC 9460 §2.1), as master files write them.

use super::master::{Field, Fields};
use crate::topology::read::{Wrong, quoted};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hickory_proto::rr::rdata::svcb::{Alpn, EchConfigList, IpHint, Mandatory, SvcParamKey, SvcParamValue, Unknown};
use hickory_proto::rr::rdata::{A, AAAA};
use std::net::{Ipv4Addr, Ipv6Addr};
use std::str::FromStr;

/// A parameter and its value.
pub(super) type Parameter = (SvcParamKey, SvcParamValue);

/// Parameters by their names; others are written `key` and their number.
const NAMES: [(&str, u16); 8] = [
    ("mandatory", 0),
    ("alpn", 1),
    ("no-default-alpn", 2),
    ("port", 3),
    ("ipv4hint", 4),
    ("ech", 5),
    ("ipv6hint", 6),
    ("dohpath", 7),
];

/// All that is left of `fields`, in the order of the wire.
pub(super) fn parameters(fields: &mut Fields<'_>, priority: u16) -> Result<Vec<Parameter>, Wrong> {
    let mut parameters: Vec<Parameter> = Vec::new();
    while let Some(field) = fields.rest.pop_front() {
        let (name, parameter) = parameter(fields, &field)?;
        if parameters.iter().any(|(key, _)| *key == parameter.0) {
            return Err(fields.wrong(format!("has {name} twice")));
        }
        parameters.push(parameter);
    }
    if priority == 0 && !parameters.is_empty() {
        return Err(fields.wrong("has parameters and priority 0, which is an alias without any"));
    }
    parameters.sort_by_key(|(key, _)| u16::from(*key));
    let has = |wanted: SvcParamKey| parameters.iter().any(|(key, _)| *key == wanted);
    if has(SvcParamKey::NoDefaultAlpn) && !has(SvcParamKey::Alpn) {
        return Err(fields.wrong("has no-default-alpn without alpn"));
    }
    if let Some((_, SvcParamValue::Mandatory(Mandatory(keys)))) = parameters.first()
        && let Some(absent) = keys.iter().find(|key| !has(**key))
    {
        return Err(fields.wrong(format!("has {absent} in mandatory and nowhere else")));
    }
    Ok(parameters)
}

fn key(name: &str) -> Option<SvcParamKey> {
    let number = match NAMES.iter().find(|(known, _)| *known == name) {
        Some((_, number)) => *number,
        None => {
            let digits = name.strip_prefix("key")?;
            let number = digits.parse::<u16>().ok().filter(|number| number.to_string() == digits)?;
            // One way to write each.
            (NAMES.iter().all(|(_, known)| *known != number) && number != u16::MAX).then_some(number)?
        }
    };
    Some(SvcParamKey::from(number))
}

fn parameter(fields: &Fields<'_>, field: &Field) -> Result<(String, Parameter), Wrong> {
    let mut halves = field.octets.splitn(2, |octet| *octet == b'=');
    let name = String::from_utf8_lossy(halves.next().unwrap_or_default()).into_owned();
    let value = halves.next();
    let Some(key) = key(&name) else {
        return Err(fields.wrong(format!("has the unknown parameter {}", quoted(&name))));
    };
    let wrong = |what: &str| fields.wrong(format!("has no {what} in {name}"));
    let text = || {
        let text = value.and_then(|value| std::str::from_utf8(value).ok()).filter(|text| !text.is_empty());
        text.filter(|_| !field.is_escaped).ok_or_else(|| wrong("plain value"))
    };
    let value = match key {
        SvcParamKey::NoDefaultAlpn if value.is_none() => SvcParamValue::NoDefaultAlpn,
        SvcParamKey::NoDefaultAlpn => return Err(fields.wrong(format!("has a value in {name}"))),
        SvcParamKey::Mandatory => {
            SvcParamValue::Mandatory(Mandatory(mandatory(text()?).ok_or_else(|| wrong("list of other parameters"))?))
        }
        SvcParamKey::Alpn => {
            let list: Vec<String> = text()?.split(',').map(str::to_owned).collect();
            let is_good = list.iter().all(|id| (1..=255).contains(&id.len()));
            SvcParamValue::Alpn(Alpn(Some(list).filter(|_| is_good).ok_or_else(|| wrong("list of protocols"))?))
        }
        SvcParamKey::Port => {
            SvcParamValue::Port(text()?.parse().ok().filter(|port| *port > 0).ok_or_else(|| wrong("port"))?)
        }
        SvcParamKey::Ipv4Hint => {
            let list: Vec<Ipv4Addr> = list(text()?).ok_or_else(|| wrong("list of IPv4 addresses"))?;
            SvcParamValue::Ipv4Hint(IpHint(list.into_iter().map(A).collect()))
        }
        SvcParamKey::Ipv6Hint => {
            let list: Vec<Ipv6Addr> = list(text()?).ok_or_else(|| wrong("list of IPv6 addresses"))?;
            SvcParamValue::Ipv6Hint(IpHint(list.into_iter().map(AAAA).collect()))
        }
        SvcParamKey::EchConfigList => {
            let octets = STANDARD.decode(text()?).map_err(|_| wrong("value in base64"))?;
            SvcParamValue::EchConfigList(EchConfigList(octets))
        }
        _ => SvcParamValue::Unknown(Unknown(value.unwrap_or_default().to_vec())),
    };
    Ok((name, (key, value)))
}

/// Keys in the order of the wire, each once, and `mandatory` not among them (RFC 9460 §8).
fn mandatory(text: &str) -> Option<Vec<SvcParamKey>> {
    let mut keys: Vec<SvcParamKey> = text.split(',').map(key).collect::<Option<_>>()?;
    keys.sort_by_key(|key| u16::from(*key));
    let is_good = keys.windows(2).all(|pair| pair[0] != pair[1]) && keys.first() != Some(&SvcParamKey::Mandatory);
    is_good.then_some(keys)
}

fn list<T: FromStr>(text: &str) -> Option<Vec<T>> {
    text.split(',').map(|element| element.parse().ok()).collect()
}
