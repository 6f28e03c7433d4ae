//! SAYS WHERE TO GO: answers questions about the fleet's zone, as one of its authorities (RFC 1034, RFC 1035).
//!
//! [`prepare`] makes what can be answered out of each snapshot: [`contents`], and the same as octets ([`prepared`]).
//! [`responder`] turns one question into one answer, however it came, by the fast path ([`wire`]) or the whole one
//! ([`answer`]), which say the same; the rest moves both: [`udp`], [`tcp`] over TCP and TLS, [`doh`] over HTTPS. Nothing
//! here decides where clients go: that is steering's.

pub mod question;
pub mod asker;
pub mod steered;
pub mod contents;
pub mod sign;
pub mod cookie;
pub mod limit;
pub mod prepared;
pub mod prepare;
pub mod bare;
pub mod answer;
pub mod wire;
pub mod explain;
pub mod responder;
pub mod crowd;
pub mod tcp;
pub mod tap;
pub mod udp;
pub mod doh;
