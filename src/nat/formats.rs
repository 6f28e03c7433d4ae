//! The addresses as firewalls take them. The order is that of the document, so the same addresses are the same text.

use super::Entry;
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use std::fmt::Write;

/// One network a line.
#[must_use]
pub fn text(entries: &[Entry]) -> String {
    entries.iter().fold(String::new(), |mut text, entry| {
        let _ = writeln!(text, "{}", entry.prefix);
        text
    })
}

/// A table with two sets, `nat_ips_v4` and `nat_ips_v6`, for `nft -f`. Loading it again replaces what it held.
#[must_use]
pub fn nftables(fleet: &str, entries: &[Entry]) -> String {
    let mut text = format!("# Where {fleet} calls out from.\ntable inet anyfront\ndelete table inet anyfront\n");
    text.push_str("table inet anyfront {\n");
    for (name, kind, is_v4) in [("nat_ips_v4", "ipv4_addr", true), ("nat_ips_v6", "ipv6_addr", false)] {
        let _ = writeln!(text, "\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval\n\t\tauto-merge");
        let elements = of_family(entries, is_v4).map(ToString::to_string).collect::<Vec<_>>();
        // An empty list of elements is no syntax.
        if !elements.is_empty() {
            let _ = writeln!(text, "\t\telements = {{ {} }}", elements.join(", "));
        }
        text.push_str("\t}\n");
    }
    text.push_str("}\n");
    text
}

/// What `aws ec2 authorize-security-group-ingress --ip-permissions` takes: HTTPS from every network.
#[must_use]
pub fn aws(fleet: &str, entries: &[Entry]) -> Json {
    let described = |entry: &Entry| format!("{fleet} {}", entry.region);
    let ranges = |is_v4: bool, key: &str| -> Vec<Json> {
        let own = entries.iter().filter(|entry| is_of(&entry.prefix, is_v4));
        own.map(|entry| json!({ key: entry.prefix.to_string(), "Description": described(entry) })).collect()
    };
    let mut permissions = Vec::new();
    for (key, ranges) in [("IpRanges", ranges(true, "CidrIp")), ("Ipv6Ranges", ranges(false, "CidrIpv6"))] {
        if !ranges.is_empty() {
            permissions.push(json!({ "IpProtocol": "tcp", "FromPort": 443, "ToPort": 443, key: ranges }));
        }
    }
    Json::from(permissions)
}

fn of_family(entries: &[Entry], is_v4: bool) -> impl Iterator<Item = &IpNet> {
    entries.iter().map(|entry| &entry.prefix).filter(move |prefix| is_of(prefix, is_v4))
}

fn is_of(prefix: &IpNet, is_v4: bool) -> bool {
    matches!(prefix, IpNet::V4(_)) == is_v4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::topology::NatState;

    fn entries() -> Vec<Entry> {
        let entry = |region: &str, prefix: &str| Entry {
            region: region.to_owned(),
            prefix: prefix.parse().expect("a network"),
            state: NatState::Active,
            valid_from: None,
        };
        vec![entry("orf", "8.8.4.0/24"), entry("orf", "2a00::/32"), entry("syd", "9.9.9.9/32")]
    }

    #[test]
    fn each_shape_has_every_network_once_in_order() {
        assert_eq!(text(&entries()), "8.8.4.0/24\n2a00::/32\n9.9.9.9/32\n");
        let sets = nftables("f", &entries());
        assert!(sets.contains("elements = { 8.8.4.0/24, 9.9.9.9/32 }") && sets.contains("elements = { 2a00::/32 }"));
        let permissions = aws("f", &entries());
        assert_eq!(permissions[0]["IpRanges"][1]["CidrIp"], "9.9.9.9/32");
        assert_eq!(permissions[1]["Ipv6Ranges"][0]["CidrIpv6"], "2a00::/32");
        assert_eq!(permissions[0]["Ipv6Ranges"], Json::Null, "the families are apart");
    }

    #[test]
    fn nothing_is_a_good_shape_too() {
        assert_eq!(text(&[]), "");
        assert!(!nftables("f", &[]).contains("elements"));
        assert_eq!(aws("f", &[]), json!([]));
    }
}
