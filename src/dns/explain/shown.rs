//! An explanation as JSON and as text.

use super::{Answer, Explanation, Origin, Steering};
use crate::dns::answer::is_steered;
use crate::dns::contents::Rrset;
use crate::dns::prepared::Counting;
use crate::dns::steered::{By, Unsettled};
use crate::moment::rfc3339;
use crate::steering::PlacedBy;
use crate::steering::prefix_of;
use crate::topology::zone::master::shown;
use hickory_proto::dnssec::rdata::DNSSECRData;
use hickory_proto::rr::RData;
use ipnet::IpNet;
use serde_json::{Value, json};
use std::fmt::Write;
use std::time::Duration;

/// Which key signed, and until when that is good.
struct Signature {
    tag: u16,
    algorithm: String,
    until: Duration,
}

impl Explanation<'_> {
    /// For programs.
    #[must_use]
    pub fn to_json(&self) -> Value {
        let prepared = self.prepared;
        let steering = self.steering();
        let client = steering.map(|steering| &steering.client);
        let (counts, is_counted) = self.counts();
        json!({
            "name": shown(&self.name),
            "zone": shown(&prepared.zone.apex),
            "generation": prepared.snapshot.generation,
            "site": prepared.site,
            "signed": prepared.contents.is_signed(),
            "rcode": self.answers.first().map(|answer| answer.rcode.as_str()),
            "origin": self.origin(),
            "wildcard": self.wildcard.map(shown),
            "alias_of": self.alias.map(|alias| shown(&alias.target)),
            "asked": {
                "client_subnet": self.subnet,
                "resolver": self.resolver.map(prefix_of),
                "counts": counts,
                "client_subnet_counts": is_counted,
                "country": client.map(|client| client.place.country),
                "city": client.map(|client| &client.place.city),
                "latitude": client.map(|client| client.place.at.latitude()),
                "longitude": client.map(|client| client.place.at.longitude()),
                "placed_by": client.map(|client| client.placed_by),
            },
            "answers": self.answers.iter().map(Answer::to_json).collect::<Vec<_>>(),
            "scope": self.scope(),
            "believed": steering.map(|steering| json!({
                "settled": steering.is_settled,
                "because": self.believed(steering),
                "unsettled": steering.unsettled.iter().map(|(name, why)| json!({
                    "name": name,
                    "because": why.text(),
                })).collect::<Vec<_>>(),
            })),
            "whose": steering.map(|steering| &steering.variant.whose),
            "sites": steering.filter(|steering| steering.by == By::Sites).map(|steering| self.sites(steering)),
            "decision": steering
                .and_then(|steering| Some(steering.decision.as_ref()?.to_json(&prepared.snapshot, &steering.client))),
        })
    }

    /// For people.
    #[must_use]
    pub fn to_text(&self) -> String {
        let mut text = String::new();
        let _ = writeln!(text, "{} asked by DNS{}", shown(&self.name), self.who());
        let _ = writeln!(text, "  {}", self.origin_text());
        let Origin::Outside = self.origin else {
            self.write_answers(&mut text);
            text.push('\n');
            let _ = writeln!(text, "  holds for {}", self.scope_text());
            if let Some(steering) = self.steering() {
                let _ = writeln!(text, "  {}", self.believed(steering));
                Self::write_unsettled(steering, &mut text);
            }
            let _ = writeln!(text, "  {}", self.signed());
            let _ = writeln!(text, "  of generation {}, by {}", self.prepared.snapshot.generation, self.prepared.site);
            if let Some(steering) = self.steering() {
                self.write_choice(steering, &mut text);
            }
            return text;
        };
        text
    }

    fn steering(&self) -> Option<&Steering<'_>> {
        if let Origin::Steered(steering) = &self.origin { Some(steering) } else { None }
    }

    fn origin(&self) -> &'static str {
        match &self.origin {
            Origin::Outside => "outside",
            Origin::Nowhere => "nowhere",
            Origin::File => "file",
            Origin::Steered(steering) if steering.by == By::Sites => "sites",
            Origin::Steered(_) => "region",
        }
    }

    /// Who asks, as the first line goes on.
    fn who(&self) -> String {
        let place = self.steering().map_or_else(String::new, |steering| format!(" ({})", steering.client.place));
        match (self.subnet, self.resolver.map(prefix_of)) {
            (Some(subnet), None) => format!(" for {subnet}{place}"),
            (Some(subnet), Some(resolver)) => format!(" for {subnet}, by a resolver in {resolver}{place}"),
            (None, Some(resolver)) => format!(" by a resolver in {resolver}{place}, which says nothing of its client"),
            (None, None) => String::new(),
        }
    }

    /// Whose address counts, and whether that of the client does.
    fn counts(&self) -> (&'static str, bool) {
        match self.counting {
            Counting::Client(_) => ("client_subnet", true),
            Counting::Nobodys(_) | Counting::Resolver => ("resolver", false),
        }
    }

    fn origin_text(&self) -> String {
        let zone = shown(&self.prepared.zone.apex);
        let mut text = match &self.origin {
            Origin::Outside => return format!("is no name of {zone}: answered with REFUSED, as by any other's server"),
            Origin::Nowhere => return format!("there is no such name in {zone}: answered with NXDOMAIN"),
            Origin::File => "the same for everybody, from the file".to_owned(),
            Origin::Steered(steering) => return self.placed(steering),
        };
        if let Some(owner) = self.wildcard {
            let _ = write!(text, ": {} stands for it", shown(owner));
        }
        text.push_str(&self.alias_text());
        text
    }

    fn alias_text(&self) -> String {
        let Some(alias) = self.alias else { return String::new() };
        format!("; it has what {} has, for {} s at most", shown(&alias.target), alias.ttl)
    }

    fn placed(&self, steering: &Steering<'_>) -> String {
        let by = match self.counting {
            Counting::Client(_) => "by the client subnet",
            Counting::Nobodys(_) => "by the resolver: such a client subnet is nobody's on the Internet",
            Counting::Resolver if self.subnet.is_none() => "by the resolver's address",
            Counting::Resolver if !self.is_believed => {
                "by the resolver: the file believes client subnets of others only"
            }
            Counting::Resolver => "by the resolver's address",
        };
        let known = match steering.client.placed_by {
            PlacedBy::Here => "nobody knows, so it is taken to be where this node stands",
            how => how.text(),
        };
        format!("the place is known from: {known}, {by}{}", self.alias_text())
    }

    fn write_answers(&self, text: &mut String) {
        text.push('\n');
        for answer in &self.answers {
            let kind = answer.kind.to_string();
            match &answer.set {
                Some(set) => {
                    for (at, data) in set.data.iter().enumerate() {
                        let (kind, ttl) =
                            if at == 0 { (&*kind, format!("{} s", set.ttl)) } else { ("", String::new()) };
                        let data = data.to_string();
                        let _ = writeln!(text, "  {kind:<8} {ttl:>8}  {}", data.trim_end_matches(','));
                    }
                }
                None => {
                    let ttl = format!("{} s", self.prepared.contents.soa().ttl);
                    let note = answer.note.map_or_else(String::new, |note| format!(": {note}"));
                    let what = if answer.rcode.number() == 0 { "nothing of this type" } else { "no such name" };
                    let _ = writeln!(text, "  {kind:<8} {ttl:>8}  ({what}{note})");
                }
            }
        }
    }

    /// The prefix for which everything holds that was answered.
    fn prefix(&self) -> Option<IpNet> {
        let bits = self.answers.iter().map(|answer| answer.scope).max()?;
        let subnet = self.subnet.filter(|_| self.is_believed)?;
        IpNet::new(subnet.network(), bits).ok().map(|net| net.trunc())
    }

    fn scope(&self) -> Value {
        json!(self.prefix().map(|prefix| json!({ "prefix": prefix, "bits": prefix.prefix_len() })))
    }

    fn scope_text(&self) -> String {
        let is_tailored = self.steering().is_some_and(|steering| steering.is_tailored);
        match self.prefix() {
            _ if !is_tailored => "everybody: it does not depend on who asks".to_owned(),
            Some(prefix) if prefix.prefix_len() == 0 => "everybody (client subnet scope 0)".to_owned(),
            Some(prefix) => format!("{prefix}: all clients there get it (client subnet scope {})", prefix.prefix_len()),
            None => "all clients of that resolver: nothing is said of client subnets".to_owned(),
        }
    }

    /// For how long the addresses are believed, and why.
    fn believed(&self, steering: &Steering<'_>) -> String {
        let chosen = self.answers.iter().filter(|answer| is_steered(answer.kind));
        let Some(ttl) = chosen.filter_map(|answer| answer.set.as_ref()).map(|set| set.ttl).next() else {
            let ttl = self.prepared.contents.soa().ttl;
            return format!("believed for {ttl} s, as everything that is not there");
        };
        match steering.by {
            By::Sites if steering.is_settled => {
                format!("believed for {ttl} s: the front door it leads to fails over by itself")
            }
            By::Region(_) if steering.is_settled => {
                format!("believed for {ttl} s, the longest: every region has stood for a while as it stands")
            }
            _ if steering.unsettled.is_empty() => {
                format!(
                    "believed for {ttl} s: what was changing has just settled, and the next answer is believed longer"
                )
            }
            _ => format!("believed for {ttl} s, the shortest: something is changing, or did just now"),
        }
    }

    fn write_unsettled(steering: &Steering<'_>, text: &mut String) {
        for (name, why) in &steering.unsettled {
            let _ = writeln!(text, "    {name:<12} {}", why.text());
        }
    }

    fn signed(&self) -> String {
        if !self.prepared.contents.is_signed() {
            return "not signed".to_owned();
        }
        let sets = self.answers.iter().filter_map(|answer| answer.set.as_ref());
        let mut signatures: Vec<Signature> = sets.flat_map(signatures).collect();
        signatures.sort_by_key(|signature| signature.tag);
        signatures.dedup_by_key(|signature| signature.tag);
        if signatures.is_empty() {
            return "signed: that there is nothing is proven when it is asked".to_owned();
        }
        let keys = signatures.iter().map(|one| format!("{} ({}) until {}", one.tag, one.algorithm, rfc3339(one.until)));
        format!("signed by key {}", keys.collect::<Vec<_>>().join(" and "))
    }

    fn sites(&self, steering: &Steering<'_>) -> Value {
        let topology = &self.prepared.snapshot.topology;
        let sites = steering.sites.iter().map(|(distance_m, at)| {
            let site = &topology.sites[*at];
            json!({
                "name": site.name,
                "distance_km": distance_m / 1_000,
                "addresses": site.addresses,
                "told": steering.tells(site.name.as_str()),
                "left_out": self.is_left_out(*at),
            })
        });
        Value::Array(sites.collect())
    }

    /// Whether a site is left out because it does not answer.
    fn is_left_out(&self, site: usize) -> bool {
        self.prepared.snapshot.sites.get(site).is_some_and(|state| state.is_left_out)
    }

    /// Who was chosen, among whom.
    fn write_choice(&self, steering: &Steering<'_>, text: &mut String) {
        text.push('\n');
        if let Some(decision) = &steering.decision {
            text.push_str(&decision.to_text(&self.prepared.snapshot, &steering.client));
            return;
        }
        let _ = writeln!(text, "  {:>2}  {:<12} {:>9}  {:<6} addresses", "", "site", "from you", "");
        for (place, (distance_m, at)) in steering.sites.iter().enumerate() {
            let site = &self.prepared.snapshot.topology.sites[*at];
            let told = match self.is_left_out(*at) {
                true => "down",
                false if steering.tells(site.name.as_str()) => "told",
                false => "",
            };
            let addresses: Vec<String> = site.addresses.iter().map(ToString::to_string).collect();
            let km = distance_m / 1_000;
            let _ =
                writeln!(text, "  {:>2}  {:<12} {km:>6} km  {told:<6} {}", place + 1, site.name, addresses.join(", "));
        }
    }
}

impl Steering<'_> {
    /// Whether the answer has this site's addresses, or this region's.
    fn tells(&self, name: &str) -> bool {
        self.variant.whose.iter().any(|whose| whose == name)
    }
}

impl Answer {
    fn to_json(&self) -> Value {
        let set = self.set.as_ref();
        let signatures = set.into_iter().flat_map(signatures);
        json!({
            "type": self.kind.to_string(),
            "rcode": self.rcode.as_str(),
            "ttl": set.map(|set| set.ttl),
            "data": set.map_or_else(Vec::new, |set| set.data.iter().map(ToString::to_string).collect()),
            "scope": self.scope,
            "note": self.note,
            "signed_by": signatures.map(|one| json!({
                "tag": one.tag,
                "algorithm": one.algorithm,
                "until": rfc3339(one.until),
            })).collect::<Vec<_>>(),
        })
    }
}

impl Unsettled {
    fn text(self) -> String {
        match self {
            Self::Young(time) => format!("has stood as it does for {} s only", time.as_secs()),
            Self::Changing => "is not known yet, in doubt, or recovering (or one of its endpoints is)".to_owned(),
        }
    }
}

fn signatures(set: &Rrset) -> impl Iterator<Item = Signature> {
    set.signatures.iter().filter_map(|data| match data {
        RData::DNSSEC(DNSSECRData::RRSIG(signature)) => {
            let input = signature.input();
            Some(Signature {
                tag: input.key_tag,
                algorithm: input.algorithm.to_string(),
                until: Duration::from_secs(u64::from(input.sig_expiration.get())),
            })
        }
        _ => None,
    })
}
