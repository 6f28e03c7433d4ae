//! DNS over HTTPS (RFC 8484): a question in a request, its answer in the response. Pure, but for the answer itself.
//!
//! Which requests come here is not decided here, nor where they may come from.

use super::asker::Transport;
use super::responder::{Outcome, Responder};
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hickory_proto::op::{Message, ResponseCode};
use hickory_proto::rr::RData;
use http::header::CONTENT_TYPE;
use http::request::Parts;
use http::{Method, StatusCode};
use std::net::SocketAddr;

/// Where it is asked: what RFC 8484 §4.1.1 has in its examples, and everybody uses.
pub const PATH: &str = "/dns-query";
/// What questions and answers are (RFC 8484 §6).
pub const MEDIA_TYPE: &str = "application/dns-message";

/// Why a request is answered by no DNS message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is neither GET, HEAD nor POST.
    Method,
    /// Its body says to be something else.
    MediaType,
    /// GET without a question, or with several.
    NoQuestion,
    /// The question is not written as it should be.
    NotBase64,
    /// It is no question to DNS.
    NotDns,
}

impl Refusal {
    /// The status, a stable word for programs and a sentence for people.
    #[must_use]
    pub fn told(self) -> (StatusCode, &'static str, &'static str) {
        let bad = StatusCode::BAD_REQUEST;
        match self {
            Self::Method => {
                (StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "DNS is asked with GET, HEAD or POST")
            }
            Self::MediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                "unsupported_media_type",
                "a question is posted as application/dns-message",
            ),
            Self::NoQuestion => (bad, "no_question", "ask with one ?dns=, or with POST"),
            Self::NotBase64 => (bad, "bad_question", "?dns= is a DNS message in base64url without padding"),
            Self::NotDns => (bad, "bad_question", "this is no question to DNS"),
        }
    }
}

/// An answer, and how long it may be kept, seconds; `None`: not at all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// The message.
    pub message: Vec<u8>,
    /// How long (RFC 8484 §5.1).
    pub max_age: Option<u32>,
}

/// Answers what a client at the first of `ends` asks at the other, whose request has this head and body.
///
/// # Errors
/// Why there is no answer.
pub fn answer(
    responder: &mut Responder,
    ends: (SocketAddr, SocketAddr),
    head: &Parts,
    body: &[u8],
) -> Result<Answered, Refusal> {
    let decoded;
    let question = match head.method {
        Method::GET | Method::HEAD => {
            decoded = in_target(head.uri.query().unwrap_or_default())?;
            &decoded
        }
        Method::POST if is_dns(head) => body,
        Method::POST => return Err(Refusal::MediaType),
        _ => return Err(Refusal::Method),
    };
    let mut message = Vec::new();
    if responder.answer(Transport::Doh, ends, question, &mut message) == Outcome::Silence {
        return Err(Refusal::NotDns);
    }
    let max_age = Message::from_vec(&message).ok().and_then(|message| max_age(&message));
    Ok(Answered { message, max_age })
}

/// The question in a query such as `dns=AAAB…` (RFC 8484 §4.1: base64url without padding). Other parameters are nothing to
/// us.
fn in_target(query: &str) -> Result<Vec<u8>, Refusal> {
    let mut written = query.split('&').filter_map(|pair| pair.strip_prefix("dns="));
    let (Some(written), None) = (written.next(), written.next()) else { return Err(Refusal::NoQuestion) };
    URL_SAFE_NO_PAD.decode(written).map_err(|_| Refusal::NotBase64)
}

/// Whether a request's body is said to be DNS; the type has no parameters.
fn is_dns(head: &Parts) -> bool {
    let mut lines = head.headers.get_all(CONTENT_TYPE).iter();
    let is_it = lines.next().is_some_and(|line| line.as_bytes().eq_ignore_ascii_case(MEDIA_TYPE.as_bytes()));
    is_it && lines.next().is_none()
}

/// The smallest TTL of what is answered; of a denial, for how long that may be believed (RFC 2308 §5). What says nothing
/// about names is not kept.
fn max_age(message: &Message) -> Option<u32> {
    if !matches!(message.metadata.response_code, ResponseCode::NoError | ResponseCode::NXDomain) {
        return None;
    }
    let answers = message.answers.iter().map(|record| record.ttl);
    let denials = message.authorities.iter().filter_map(|record| match &record.data {
        RData::SOA(soa) => Some(record.ttl.min(soa.minimum)),
        _ => None,
    });
    answers.chain(denials).min()
}

#[cfg(test)]
mod tests {
    use super::*;
    use hickory_proto::op::OpCode;
    use hickory_proto::rr::rdata::{A, NS, SOA};
    use hickory_proto::rr::{Name, Record};

    fn name() -> Name {
        Name::from_ascii("a.test.").expect("a name")
    }

    fn soa(ttl: u32, minimum: u32) -> Record {
        Record::from_rdata(name(), ttl, RData::SOA(SOA::new(name(), name(), 1, 2, 3, 4, minimum)))
    }

    fn address(ttl: u32) -> Record {
        Record::from_rdata(name(), ttl, RData::A(A::new(192, 0, 2, 1)))
    }

    #[test]
    fn an_answer_is_kept_as_long_as_its_shortest_part_may_be_believed() {
        let aged = |code, answers: &[Record], authorities: &[Record]| {
            let mut message = Message::error_msg(0, OpCode::Query, code);
            message.answers = answers.to_vec();
            message.authorities = authorities.to_vec();
            max_age(&message)
        };
        let good = ResponseCode::NoError;
        assert_eq!(aged(good, &[address(60), address(20)], &[]), Some(20));
        assert_eq!(aged(good, &[address(0)], &[]), Some(0));
        assert_eq!(aged(good, &[], &[soa(300, 30)]), Some(30), "its minimum");
        assert_eq!(aged(ResponseCode::NXDomain, &[], &[soa(10, 30)]), Some(10), "its TTL");
        assert_eq!(aged(good, &[address(60)], &[soa(300, 30)]), Some(30), "an alias to what is not there");
        let delegation = Record::from_rdata(name(), 86_400, RData::NS(NS(name())));
        assert_eq!(aged(good, &[address(60)], &[delegation]), Some(60));
        assert_eq!(aged(ResponseCode::Refused, &[], &[soa(300, 30)]), None);
        assert_eq!(aged(ResponseCode::ServFail, &[], &[]), None);
    }

    #[test]
    fn a_question_in_the_target_is_there_once_and_without_padding() {
        assert_eq!(in_target("dns=AAE"), Ok(vec![0, 1]));
        assert_eq!(in_target("ct=x&dns=_-8&y"), Ok(vec![0xFF, 0xEF]));
        assert_eq!(in_target("dns="), Ok(Vec::new()), "no message, which is said by whoever reads it");
        for without in ["", "DNS=AAE", "xdns=AAE", "dns=AAE&dns=AAE", "dns"] {
            assert_eq!(in_target(without), Err(Refusal::NoQuestion), "{without}");
        }
        for bad in ["dns=AAE=", "dns=A", "dns=+/8", "dns=AA%45", "dns=A A"] {
            assert_eq!(in_target(bad), Err(Refusal::NotBase64), "{bad}");
        }
    }
}
