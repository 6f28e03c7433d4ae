//! SAYS WHERE TO GO: answers questions about the fleet's zone, as one of its authorities (RFC 1034, RFC 1035).
//!
//! [`responder`] turns one question into one answer, however it came; the rest moves both: [`tcp`] over TCP and TLS.

pub mod responder;
pub mod crowd;
pub mod tcp;
