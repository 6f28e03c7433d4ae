//! Small words of heads: hosts and dates.

use std::time::{Duration, UNIX_EPOCH};

/// A host without its port, if that is one; the whole way judges everything else.
pub(super) fn without_port(host: &str) -> &str {
    match host.split_once(':') {
        Some((name, port)) if port.parse::<u16>().is_ok_and(|port| port > 0) && !port.starts_with('+') => name,
        _ => host,
    }
}

/// The date as HTTP writes it (RFC 9110 §5.6.7), so long after the Unix epoch.
pub(super) fn date_at(wall: Duration) -> String {
    httpdate::fmt_http_date(UNIX_EPOCH + wall)
}
