//! Whether our own DNS answers a challenge: what the directory is about to see, seen first by ourselves.
//!
//! A directory that looks too early counts a failure, and public ones lock out after a few; a question over loopback costs
//! nothing.

use crate::moment::{Clock, Dice};
use hickory_proto::op::{Edns, Message, Query};
use hickory_proto::rr::{Name, RData, RecordType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;
use tokio::net::UdpSocket;

/// How long one answer may take.
const ANSWER_MAX: Duration = Duration::from_secs(1);
/// How long between two questions.
const AGAIN: Duration = Duration::from_millis(100);
/// What an answer may take, octets: two values take less than two hundred.
const ANSWER_BYTES_MAX: u16 = 1_232;

/// Why a challenge would not be seen.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unseen {
    /// Nobody answers.
    #[error("nobody answers")]
    Silent,
    /// Something else is answered.
    #[error("the answer is {code}, with {} of the values", if *some { "some" } else { "none" })]
    Other {
        /// The response code, in words.
        code: String,
        /// Whether any of the values was there.
        some: bool,
    },
    /// The question cannot be sent, or what came is no answer.
    #[error("{0}")]
    Failed(String),
}

/// Waits until the DNS at `server` answers all of `values` for TXT at `owner`.
///
/// # Errors
/// What it did instead, when `within` is over.
pub async fn until_answered(
    server: SocketAddr,
    owner: &Name,
    values: &[String],
    (clock, within): (Clock, Duration),
    dice: &mut Dice,
) -> Result<(), Unseen> {
    let ends = clock.now() + within;
    loop {
        let id = u16::try_from(dice.roll() >> 48).expect("16 bits are left");
        let asked = tokio::time::timeout(ANSWER_MAX, ask(server, owner, id)).await;
        let unseen = match asked.map_err(|_| Unseen::Silent).and_then(|asked| asked) {
            Ok((code, seen)) => match values.iter().filter(|value| seen.contains(value)).count() {
                count if count == values.len() => return Ok(()),
                count => Unseen::Other { code, some: count > 0 },
            },
            Err(unseen) => unseen,
        };
        if clock.now() >= ends {
            return Err(unseen);
        }
        tokio::time::sleep(AGAIN).await;
    }
}

/// The response code and the strings of one answer.
async fn ask(server: SocketAddr, owner: &Name, id: u16) -> Result<(String, Vec<String>), Unseen> {
    let failed = |error: io::Error| Unseen::Failed(error.to_string());
    let (server, from) = reachable(server);
    let socket = UdpSocket::bind((from, 0)).await.map_err(failed)?;
    socket.connect(server).await.map_err(failed)?;
    let mut question = Message::query();
    question.metadata.id = id;
    question.add_query(Query::query(owner.clone(), RecordType::TXT));
    let mut edns = Edns::new();
    edns.set_max_payload(ANSWER_BYTES_MAX);
    question.set_edns(edns);
    let bytes = question.to_vec().map_err(|error| Unseen::Failed(error.to_string()))?;
    socket.send(&bytes).await.map_err(failed)?;
    let mut buffer = vec![0; usize::from(ANSWER_BYTES_MAX)];
    loop {
        let length = socket.recv(&mut buffer).await.map_err(failed)?;
        let answer = Message::from_vec(&buffer[..length]).map_err(|error| Unseen::Failed(error.to_string()))?;
        if answer.metadata.id != id {
            continue;
        }
        let texts = answer.answers.iter().filter(|record| record.name == *owner).filter_map(|record| {
            let RData::TXT(text) = &record.data else { return None };
            Some(text.txt_data.iter().map(|part| String::from_utf8_lossy(part)).collect())
        });
        return Ok((answer.metadata.response_code.to_string(), texts.collect()));
    }
}

/// An address at which something that listens at `listening` can be asked from here, and from where.
fn reachable(listening: SocketAddr) -> (SocketAddr, IpAddr) {
    let ip = match listening.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    let from = if ip.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    (SocketAddr::new(ip, listening.port()), from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_listens_everywhere_is_asked_on_loopback() {
        for (listening, asked) in [
            ("0.0.0.0:53", "127.0.0.1:53"),
            ("[::]:53", "[::1]:53"),
            ("192.0.2.1:53", "192.0.2.1:53"),
            ("[2001:db8::1]:5353", "[2001:db8::1]:5353"),
        ] {
            assert_eq!(reachable(listening.parse().expect("good")).0, asked.parse().expect("good"));
        }
    }
}
