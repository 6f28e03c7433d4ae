//! Asks servers of the parent which DS they have.

use super::shown::presented;
use crate::dnssec::key;
use crate::dnssec::record::Record;
use crate::moment::Clock;
use anyhow::{Context, bail, ensure};
use hickory_proto::dnssec::rdata::{DNSSECRData, DS};
use hickory_proto::op::{Edns, Message, MessageType, Query, ResponseCode};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// One try, over UDP or TCP.
const TRY: Duration = Duration::from_secs(2);
/// Tries over UDP.
const TRIES: usize = 3;
/// What fits into any path (RFC 9715).
const UDP_BYTES_MAX: u16 = 1_232;

/// What one server of the parent says.
#[derive(Debug)]
pub(super) struct Parent {
    /// Which.
    pub address: SocketAddr,
    /// Its DS records of the zone; none is an unsigned delegation.
    pub ds: Vec<DS>,
    /// How long they may be believed.
    pub ttl: Duration,
}

/// `ADDR` or `ADDR:PORT`.
pub(super) fn parse(text: &str) -> Result<SocketAddr, String> {
    let with_port = || text.parse::<IpAddr>().ok().map(|address| SocketAddr::from((address, 53)));
    let address = text.parse().ok().or_else(with_port);
    address.ok_or_else(|| format!("{text:?} is no address such as 192.0.2.53 or [2001:db8::53]:53"))
}

impl Parent {
    /// Asks each.
    ///
    /// # Errors
    /// The first that does not answer, or is no server of the parent.
    pub(super) fn ask_all(addresses: &[SocketAddr], zone: &Name) -> anyhow::Result<Vec<Self>> {
        addresses.iter().map(|address| Self::ask(*address, zone).with_context(|| format!("{address}"))).collect()
    }

    fn ask(address: SocketAddr, zone: &Name) -> anyhow::Result<Self> {
        let mut query = Message::query();
        query.add_query(Query::query(zone.clone(), RecordType::DS));
        let mut edns = Edns::new();
        edns.set_max_payload(UDP_BYTES_MAX);
        query.set_edns(edns);
        let mut answer = over_udp(address, &query)?;
        if answer.metadata.truncation {
            answer = over_tcp(address, &query)?;
        }
        let code = answer.metadata.response_code;
        ensure!(code == ResponseCode::NoError, "answers {code}");
        ensure!(
            answer.metadata.authoritative,
            "is no authority for the DS of {zone}: ask the servers of the zone above, not a resolver"
        );
        let own = answer.answers.iter().filter(|record| record.name == *zone);
        let mut ttl = Duration::ZERO;
        let mut ds = Vec::new();
        for record in own {
            if let RData::DNSSEC(DNSSECRData::DS(found)) = &record.data {
                ttl = ttl.max(Duration::from_secs(record.ttl.into()));
                ds.push(found.clone());
            }
        }
        Ok(Self { address, ds, ttl })
    }

    /// Whether it has the DS of the key at this index, with any digest.
    pub(super) fn has(&self, record: &Record, at: usize) -> bool {
        self.ds.iter().any(|ds| is_of(ds, record, at))
    }

    /// Its records that are of no key of ours that lives.
    pub(super) fn strangers(&self, record: &Record, wall: Duration) -> impl Iterator<Item = &DS> {
        let living = record.lives.living(wall);
        self.ds.iter().filter(move |ds| !living.iter().any(|at| is_of(ds, record, *at)))
    }
}

fn is_of(ds: &DS, record: &Record, at: usize) -> bool {
    ds.digest_type().is_supported() && *ds == key::ds(&record.dnskeys[at], &record.zone, ds.digest_type())
}

/// Whether every server asked agrees with what the operator says.
///
/// # Errors
/// Which does not.
pub(super) fn confirm(
    asked: &[Parent],
    record: &Record,
    seen: Option<u16>,
    gone: Option<u16>,
    parent_ttl: Option<Duration>,
) -> anyhow::Result<()> {
    let index = |tag: u16| record.lives.all().iter().position(|life| life.tag == tag);
    for parent in asked {
        if let Some((tag, at)) = seen.and_then(|tag| Some((tag, index(tag)?))) {
            let told: Vec<String> = parent.ds.iter().map(presented).collect();
            if !parent.has(record, at) {
                bail!("{} has not the DS of key {tag} but {told:?}; nothing was changed", parent.address);
            }
            let assumed = record.lives.all()[at].parent_ttl.max(parent_ttl.unwrap_or_default());
            if parent.ttl > assumed {
                let (ttl, assumed) = (parent.ttl.as_secs(), assumed.as_secs());
                bail!(
                    "{} gives its DS a TTL of {ttl} s, longer than the {assumed} s that are reckoned with: say it again \
                     with --parent-ttl {ttl}s (or in hours or days); nothing was changed",
                    parent.address
                );
            }
        }
        if let Some((tag, _)) = gone.and_then(|tag| Some((tag, index(tag)?))).filter(|(_, at)| parent.has(record, *at))
        {
            bail!("{} still has the DS of key {tag}; nothing was changed", parent.address);
        }
    }
    Ok(())
}

fn over_udp(address: SocketAddr, query: &Message) -> anyhow::Result<Message> {
    let any: IpAddr = if address.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect(address)?;
    let mut buffer = [0; u16::MAX as usize];
    let clock = Clock::start();
    for _ in 0..TRIES {
        socket.send(&query.to_vec()?)?;
        let sent = clock.now();
        // Whatever comes that is no answer to this question is waited past.
        while let Some(left) = TRY.checked_sub(clock.now().since(sent)).filter(|left| !left.is_zero()) {
            socket.set_read_timeout(Some(left))?;
            let received = match socket.recv(&mut buffer) {
                Ok(length) => Message::from_vec(&buffer[..length]),
                Err(error) if matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut) => {
                    break;
                }
                Err(error) => return Err(error).context("cannot be asked"),
            };
            if let Ok(answer) = received.map_err(drop).and_then(|answer| belongs(query, answer)) {
                return Ok(answer);
            }
        }
    }
    bail!("does not answer within {} s", TRY.as_secs() * TRIES as u64)
}

fn over_tcp(address: SocketAddr, query: &Message) -> anyhow::Result<Message> {
    let mut stream = TcpStream::connect_timeout(&address, TRY).context("cannot be asked over TCP")?;
    stream.set_read_timeout(Some(TRY))?;
    stream.set_write_timeout(Some(TRY))?;
    let octets = query.to_vec()?;
    let length = u16::try_from(octets.len()).context("the question is short")?;
    stream.write_all(&[&length.to_be_bytes()[..], &octets].concat())?;
    let mut length = [0; 2];
    stream.read_exact(&mut length).context("does not answer over TCP")?;
    let mut octets = vec![0; usize::from(u16::from_be_bytes(length))];
    stream.read_exact(&mut octets).context("does not answer whole over TCP")?;
    let answer = Message::from_vec(&octets).context("answers what cannot be understood")?;
    belongs(query, answer).map_err(|()| anyhow::anyhow!("answers something else"))
}

fn belongs(query: &Message, answer: Message) -> Result<Message, ()> {
    let is_answer = answer.metadata.message_type == MessageType::Response
        && answer.metadata.id == query.metadata.id
        && answer.queries == query.queries;
    is_answer.then_some(answer).ok_or(())
}
