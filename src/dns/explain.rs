//! What DNS answers somebody, and why: the answers themselves, with everything that they were made of.
//!
//! Pure, and no second way to an answer: what is said is [`say`]'s, whose address counts is [`Prepared::counting`]'s, places
//! are the map's, what is young is [`unsettled`]'s and regions are steering's. [`shown`] has it as JSON and as text.

mod shown;

use super::answer::say;
use super::asker::{Asker, Transport};
use super::contents::{Choice, Found, Node, Rrset};
use super::prepared::{Counting, GRAIN_V4, GRAIN_V6, Prepared};
use super::question::{HEADER_BYTES, Question, Rcode, code};
use super::steered::{By, Unsettled, Variant, decide, sites_from, unsettled};
use crate::geo::database::Source;
use crate::geo::place::Place;
use crate::limits::DNS_UDP_RESPONSE_BYTES_MAX;
use crate::moment::Moment;
use crate::names::Label;
use crate::steering::decision::Decision;
use crate::steering::{Client, PlacedBy, prefix_of};
use crate::topology::zone::Alias;
use hickory_proto::rr::{Name, RecordType};
use ipnet::IpNet;
use std::net::IpAddr;

/// What is always told of a name, whether it has them or not.
const KINDS: [RecordType; 3] = [RecordType::A, RecordType::AAAA, RecordType::HTTPS];

/// What is asked. At least one of the addresses must be there.
#[derive(Clone, Debug)]
pub struct Ask {
    /// Which name, as somebody typed it.
    pub name: String,
    /// For which client: its network comes along as the client subnet (RFC 7871).
    pub client: Option<IpAddr>,
    /// By which resolver. Without one: by one whose client subnets are believed, where the client is.
    pub resolver: Option<IpAddr>,
}

/// What is answered to one type of question.
#[derive(Debug)]
struct Answer {
    kind: RecordType,
    rcode: Rcode,
    /// The records; `None`: there are none of the type.
    set: Option<Rrset>,
    scope: u8,
    /// More about an error.
    note: Option<&'static str>,
}

/// Where the answers come from.
#[derive(Debug)]
enum Origin<'a> {
    /// The name is not in the zone.
    Outside,
    /// The zone has no such name.
    Nowhere,
    /// It is the same for everybody, as the file has it.
    File,
    /// The addresses are steering's.
    Steered(Box<Steering<'a>>),
}

/// What steering has to do with it.
#[derive(Debug)]
struct Steering<'a> {
    by: By,
    variant: &'a Variant,
    is_tailored: bool,
    is_settled: bool,
    /// What keeps the answers from being believed for long.
    unsettled: Vec<(Label, Unsettled)>,
    /// Sites by their distance from the client, metres.
    sites: Vec<(u64, usize)>,
    /// The decision for everybody at the client's place.
    decision: Option<Decision>,
    client: Client,
}

/// The answer to an [`Ask`].
#[derive(Debug)]
pub struct Explanation<'a> {
    prepared: &'a Prepared,
    name: Name,
    subnet: Option<IpNet>,
    resolver: Option<IpAddr>,
    counting: Counting,
    /// Whether client subnets of such a resolver are believed.
    is_believed: bool,
    origin: Origin<'a>,
    wildcard: Option<&'a Name>,
    alias: Option<&'a Alias>,
    answers: Vec<Answer>,
}

impl Ask {
    /// Answers it as questions are answered, at `now`.
    ///
    /// # Errors
    /// A sentence, if the name is none or nobody asks.
    pub fn answer<'a>(&self, prepared: &'a Prepared, now: Moment) -> Result<Explanation<'a>, String> {
        let name = self.name()?;
        let subnet = self.client.map(network_of);
        let trusted = || prepared.zone.client_subnet_from.as_ref()?.first().map(IpNet::network);
        let asks = self.resolver.or_else(trusted).or(self.client);
        let asks = asks.ok_or("say for which client, or which resolver asks")?.to_canonical();
        let (found, wildcard) = match prepared.contents.find(&name) {
            Found::Outside => (None, None),
            Found::Nothing(_) => (Some(None), None),
            Found::Node(node) => (Some(Some(node)), None),
            Found::Wildcard(owner, node) => (Some(Some(node)), Some(owner)),
        };
        let node = found.flatten();
        let owner = wildcard.unwrap_or(&name);
        let alias = prepared.zone.aliases.iter().find(|alias| node.is_some() && alias.owner == *owner);
        let mut answers = Vec::new();
        let mut counting = Counting::Resolver;
        for kind in kinds(node) {
            let message = message(&name, kind, subnet);
            let question = Question::parse(&message).map_err(|_| "that cannot be asked by DNS".to_owned())?;
            counting = prepared.counting(&question, asks);
            answers.push(Answer::of(prepared, &question, &name, asks));
        }
        let origin = match (found, node.and_then(|node| node.steered.as_ref())) {
            (None, _) => Origin::Outside,
            (Some(None), _) => Origin::Nowhere,
            (Some(Some(_)), None) => Origin::File,
            (Some(Some(_)), Some(choice)) => {
                let message = message(&name, RecordType::A, subnet);
                let question = Question::parse(&message).map_err(|_| "that cannot be asked by DNS".to_owned())?;
                let (variant, _) = prepared.variant(choice.by, &question, asks);
                Origin::Steered(Box::new(Steering::of(prepared, choice, variant, counting.address(asks), now)))
            }
        };
        let is_believed = prepared.believes(asks);
        let resolver = self.resolver;
        Ok(Explanation { prepared, name, subnet, resolver, counting, is_believed, origin, wildcard, alias, answers })
    }

    fn name(&self) -> Result<Name, String> {
        let mut name = Name::from_ascii(&self.name).map_err(|error| format!("the name {:?}: {error}", self.name))?;
        name.set_fqdn(true);
        Ok(name)
    }
}

impl Counting {
    /// The address, if `resolver` asks.
    fn address(self, resolver: IpAddr) -> IpAddr {
        match self {
            Self::Client(client) => client,
            Self::Nobodys(_) | Self::Resolver => resolver,
        }
    }
}

impl Answer {
    fn of(prepared: &Prepared, question: &Question<'_>, name: &Name, resolver: IpAddr) -> Self {
        let asker = Asker { address: resolver, transport: Transport::Tcp, cookie: None };
        let said = say(prepared, question, name, &asker, &mut || false);
        Self {
            kind: RecordType::from(question.kind),
            rcode: said.rcode,
            set: said.answers.into_iter().next().map(|(_, set)| set.into_owned()),
            scope: said.scope,
            note: said.extended.map(|(_, text)| text),
        }
    }
}

impl<'a> Steering<'a> {
    fn of(prepared: &'a Prepared, choice: &'a Choice, variant: usize, counts: IpAddr, now: Moment) -> Self {
        let (snapshot, map) = (&prepared.snapshot, &prepared.map);
        let steered = &prepared.contents.steered[choice.by];
        let id = map.place_of(counts);
        let place: Option<&Place> = map.places()[id as usize].as_ref();
        let placed_by = match snapshot.locator.locate(network_of(counts).network()) {
            _ if place.is_none() => PlacedBy::Here,
            Some(found) if found.source == Source::Override => PlacedBy::Override,
            _ => PlacedBy::Database,
        };
        let (mut client, decision) = match steered.by {
            By::Region(route) => {
                let (client, decision) = decide(snapshot, route, place, u64::from(id));
                (client, Some(decision))
            }
            By::Sites => (Client::at(counts, place.unwrap_or(&snapshot.here.place).clone(), placed_by), None),
        };
        (client.prefix, client.placed_by) = (prefix_of(counts), placed_by);
        let sites = if decision.is_none() { sites_from(snapshot, place) } else { Vec::new() };
        let unsettled =
            if steered.is_settled { Vec::new() } else { unsettled(snapshot, steered.by, steered.young, now) };
        Self {
            by: steered.by,
            variant: &steered.variants[variant],
            is_tailored: steered.is_tailored(),
            is_settled: steered.is_settled,
            unsettled,
            sites,
            decision,
            client,
        }
    }
}

/// What is asked about `node`: what browsers ask, and whatever else it has.
fn kinds(node: Option<&Node>) -> Vec<RecordType> {
    let fixed = || node.into_iter().flat_map(|node| node.sets.iter().map(|set| set.kind));
    // Whatever is asked gets it.
    if fixed().any(|kind| kind == RecordType::CNAME) {
        return vec![RecordType::CNAME];
    }
    let others = fixed().filter(|kind| !KINDS.contains(kind));
    KINDS.into_iter().chain(others).collect()
}

/// What a resolver says of a client at `address` (RFC 7871 §11.1), and all that is looked at here.
fn network_of(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let bits = if address.is_ipv4() { GRAIN_V4 } else { GRAIN_V6 };
    IpNet::new(address, bits).expect("a prefix length").trunc()
}

/// A question as a resolver asks it that knows EDNS.
fn message(name: &Name, kind: RecordType, subnet: Option<IpNet>) -> Vec<u8> {
    let mut message = vec![0; HEADER_BYTES];
    (message[5], message[HEADER_BYTES - 1]) = (1, 1);
    for label in name {
        message.push(u8::try_from(label.len()).expect("a label is below 64 octets"));
        message.extend_from_slice(label);
    }
    message.push(0);
    message.extend_from_slice(&u16::from(kind).to_be_bytes());
    message.extend_from_slice(&code::IN.to_be_bytes());
    message.extend_from_slice(&[0, 0, code::OPT as u8]);
    message.extend_from_slice(&(DNS_UDP_RESPONSE_BYTES_MAX as u16).to_be_bytes());
    message.extend_from_slice(&[0; 4]);
    let mut option = Vec::new();
    if let Some(subnet) = subnet {
        let (family, octets) = match subnet.network() {
            IpAddr::V4(v4) => (1, v4.octets().to_vec()),
            IpAddr::V6(v6) => (2, v6.octets().to_vec()),
        };
        let said = &octets[..usize::from(subnet.prefix_len().div_ceil(8))];
        let length = u8::try_from(4 + said.len()).expect("an address is short");
        option.extend_from_slice(&[0, code::CLIENT_SUBNET as u8, 0, length, 0, family, subnet.prefix_len(), 0]);
        option.extend_from_slice(said);
    }
    message.extend_from_slice(&u16::try_from(option.len()).expect("short").to_be_bytes());
    message.extend_from_slice(&option);
    message
}
