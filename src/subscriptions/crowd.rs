//! How often one network may ask, counted for as many as a stranger can be kept apart by.

use crate::limits::{SUBSCRIBING_PER_PREFIX_MAX, SUBSCRIBING_PERIOD, SUBSCRIBING_PREFIXES_MAX};
use crate::moment::Moment;
use ipnet::IpNet;
use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

/// Who asked, and how often since when.
#[derive(Debug, Default)]
pub struct Crowd(HashMap<IpNet, (Moment, u32)>);

impl Crowd {
    /// Counts one more question of `client`.
    ///
    /// # Errors
    /// If it asked too often: after how long it may again.
    pub fn enter(&mut self, client: IpAddr, now: Moment) -> Result<(), Duration> {
        let prefix = prefix(client);
        if self.0.len() >= SUBSCRIBING_PREFIXES_MAX && !self.0.contains_key(&prefix) {
            self.0.retain(|_, (since, _)| now.since(*since) < SUBSCRIBING_PERIOD);
            let oldest = self.0.iter().min_by_key(|(_, (since, _))| *since).map(|(prefix, _)| *prefix);
            if let Some(oldest) = oldest.filter(|_| self.0.len() >= SUBSCRIBING_PREFIXES_MAX) {
                self.0.remove(&oldest);
            }
        }
        let (since, count) = self.0.entry(prefix).or_insert((now, 0));
        if now.since(*since) >= SUBSCRIBING_PERIOD {
            (*since, *count) = (now, 0);
        }
        if *count >= SUBSCRIBING_PER_PREFIX_MAX {
            return Err(SUBSCRIBING_PERIOD.saturating_sub(now.since(*since)));
        }
        *count += 1;
        Ok(())
    }
}

/// The network that somebody with `address` surely has for himself: /24, /48.
fn prefix(address: IpAddr) -> IpNet {
    let address = address.to_canonical();
    let length = if address.is_ipv4() { 24 } else { 48 };
    IpNet::new(address, length).expect("it is no longer than the address").trunc()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn a_network_that_asks_too_often_waits_and_others_do_not() {
        let mut crowd = Crowd::default();
        for last in 0..SUBSCRIBING_PER_PREFIX_MAX {
            assert!(crowd.enter(address(&format!("198.51.100.{last}")), Moment::ZERO).is_ok());
        }
        assert_eq!(crowd.enter(address("198.51.100.200"), Moment::ZERO), Err(SUBSCRIBING_PERIOD));
        assert_eq!(crowd.enter(address("::ffff:198.51.100.1"), Moment::ZERO), Err(SUBSCRIBING_PERIOD), "in disguise");
        assert!(crowd.enter(address("198.51.101.1"), Moment::ZERO).is_ok());
        assert!(crowd.enter(address("198.51.100.1"), Moment::at(SUBSCRIBING_PERIOD)).is_ok(), "an hour later");
    }

    #[test]
    fn however_many_come_so_many_are_counted_and_no_more() {
        let mut crowd = Crowd::default();
        for at in 0..SUBSCRIBING_PREFIXES_MAX + 100 {
            let (high, low) = (at >> 8, at & 0xFF);
            let client = address(&format!("10.{high}.{low}.1"));
            assert!(crowd.enter(client, Moment::at(Duration::from_millis(at as u64))).is_ok());
        }
        assert_eq!(crowd.0.len(), SUBSCRIBING_PREFIXES_MAX);
        assert!(!crowd.0.contains_key(&prefix(address("10.0.0.1"))), "whoever came first is forgotten");
    }
}
