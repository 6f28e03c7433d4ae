//! Clients everywhere who ask at a steady rate whatever happens, and an account of what they saw.

use super::{Ask, Client, Fleet, Seen, get, post};
use anyfront::topology::Topology;
use std::fmt::Write;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// Requests under way from one place: a bound for a black hole under full load.
const IN_FLIGHT_MAX: usize = 1_000;
/// Failures told in words.
const TOLD_MAX: usize = 20;

/// So many requests a second are asked for.
pub fn requests_per_second() -> u64 {
    std::env::var("ANYFRONT_LOAD_RPS").ok().and_then(|rate| rate.parse().ok()).unwrap_or(300)
}

/// Whether somebody asked for the whole proof, which takes minutes.
pub fn is_full() -> bool {
    std::env::var_os("ANYFRONT_LOAD_RPS").is_some()
}

/// TOML that puts one network of clients (127.10.N.0/24) at every region of the fleet.
pub fn clients_at_regions(topology: &Topology) -> String {
    let mut text = String::new();
    for (at, region) in topology.regions.iter().enumerate() {
        let place = region.place.at;
        let (latitude, longitude) = (place.latitude(), place.longitude());
        let _ = writeln!(
            text,
            "[[geo.place]]\nprefix = \"127.10.{at}.0/24\"\nlatitude = {latitude:?}\nlongitude = {longitude:?}"
        );
    }
    text
}

/// The client beside region number `at`.
pub fn client_at(at: usize) -> IpAddr {
    IpAddr::V4(Ipv4Addr::new(127, 10, u8::try_from(at).expect("few regions"), 1))
}

/// What all clients have seen.
#[derive(Debug, Default)]
pub struct Account {
    pub gets: AtomicU64,
    pub posts: AtomicU64,
    /// Safe requests that failed: there must be none.
    pub failed_gets: AtomicU64,
    /// POSTs that failed although nobody had seen them: there must be none.
    pub unreached_posts: AtomicU64,
    /// POSTs that failed and may have been processed: honest, and few.
    pub uncertain_posts: AtomicU64,
    pub longest_get_us: AtomicU64,
    pub longest_post_us: AtomicU64,
    told: Mutex<Vec<String>>,
}

impl Account {
    fn enter(&self, ask: &Ask, seen: &Seen) {
        let is_get = ask.method == http::Method::GET;
        let us = u64::try_from(seen.elapsed.as_micros()).expect("short");
        let (count, longest) =
            if is_get { (&self.gets, &self.longest_get_us) } else { (&self.posts, &self.longest_post_us) };
        count.fetch_add(1, Relaxed);
        longest.fetch_max(us, Relaxed);
        if seen.is_good() {
            return;
        }
        let code = if seen.is_broken() { String::new() } else { seen.own_error() };
        // Our own word for it; or the region's answer broke off, so it was there.
        let is_uncertain = !is_get && (matches!(code.as_str(), "connection_lost" | "no_answer") || seen.is_broken());
        match (is_get, is_uncertain) {
            (true, _) => self.failed_gets.fetch_add(1, Relaxed),
            (false, true) => self.uncertain_posts.fetch_add(1, Relaxed),
            (false, false) => self.unreached_posts.fetch_add(1, Relaxed),
        };
        let mut told = self.told.lock().expect("nobody panics with it");
        if told.len() < TOLD_MAX && !is_uncertain {
            told.push(format!(
                "{} {} {}: {:?} {code} by {:?} after {:?} in {:?}, {:?}",
                ask.method,
                ask.host,
                ask.id,
                seen.status,
                seen.region(),
                seen.attempts(),
                seen.elapsed,
                seen.body.as_ref().err()
            ));
        }
    }

    pub fn asked(&self) -> u64 {
        self.gets.load(Relaxed) + self.posts.load(Relaxed)
    }

    pub fn longest_get(&self) -> Duration {
        Duration::from_micros(self.longest_get_us.load(Relaxed))
    }

    /// In a line.
    pub fn summary(&self) -> String {
        let of = |count: &AtomicU64| count.load(Relaxed);
        format!(
            "{} GETs, {} failed, longest {:?}; {} POSTs, {} failed unreached, {} uncertain, longest {:?}",
            of(&self.gets),
            of(&self.failed_gets),
            self.longest_get(),
            of(&self.posts),
            of(&self.unreached_posts),
            of(&self.uncertain_posts),
            Duration::from_micros(of(&self.longest_post_us)),
        )
    }

    /// Nothing failed that need not, and nothing was processed twice.
    #[track_caller]
    pub fn assert_kept(&self, fleet: &Fleet) {
        let told = self.told.lock().expect("nobody panics with it").join("\n");
        assert_eq!(self.failed_gets.load(Relaxed), 0, "safe requests failed: {}\n{told}", self.summary());
        assert_eq!(self.unreached_posts.load(Relaxed), 0, "POSTs failed unreached: {}\n{told}", self.summary());
        assert_eq!(fleet.posts_processed_twice(), [], "POSTs were processed twice");
    }
}

/// Clients at work.
pub struct Load {
    pub account: Arc<Account>,
    ending: Arc<AtomicBool>,
    generators: Vec<JoinHandle<()>>,
}

impl Load {
    /// `rate` requests a second in all, 70 % GET and 30 % POST, each asker asking its share.
    pub fn start(to: SocketAddr, askers: &[(&'static str, IpAddr)], rate: u64) -> Self {
        let account = Arc::new(Account::default());
        let ending = Arc::new(AtomicBool::new(false));
        let every = Duration::from_secs(askers.len() as u64) / u32::try_from(rate.max(1)).expect("a rate");
        let generators = askers
            .iter()
            .map(|(host, from)| {
                tokio::spawn(generate(to, host, *from, every, Arc::clone(&account), Arc::clone(&ending)))
            })
            .collect();
        Self { account, ending, generators }
    }

    /// Waits until the clients have got so many more answers.
    pub async fn until_answered(&self, more: u64) {
        let until = self.account.asked() + more;
        let wait = async {
            while self.account.asked() < until {
                tokio::time::sleep(Duration::from_millis(5)).await;
            }
        };
        tokio::time::timeout(super::BOUND * 3, wait).await.expect("clients are answered");
    }

    /// No more requests; waits for what is under way.
    pub async fn stop(self) -> Arc<Account> {
        self.ending.store(true, Relaxed);
        for generator in self.generators {
            generator.await.expect("it does not panic");
        }
        self.account
    }
}

async fn generate(
    to: SocketAddr,
    host: &'static str,
    from: IpAddr,
    every: Duration,
    account: Arc<Account>,
    ending: Arc<AtomicBool>,
) {
    let idle: Arc<Mutex<Vec<Client>>> = Arc::default();
    let permits = Arc::new(Semaphore::new(IN_FLIGHT_MAX));
    let mut tick = tokio::time::interval(every);
    for number in 0_u64.. {
        tick.tick().await;
        if ending.load(Relaxed) {
            break;
        }
        let permit = Arc::clone(&permits).acquire_owned().await.expect("it is never closed");
        // Three of ten.
        let ask = if number * 3 % 10 < 3 { post(host) } else { get(host) };
        let (idle, account) = (Arc::clone(&idle), Arc::clone(&account));
        tokio::spawn(async move {
            let kept = idle.lock().expect("nobody panics with it").pop();
            let client = match kept {
                Some(client) => Ok(client),
                None => Client::connect(to, from).await,
            };
            match client {
                Ok(mut client) => {
                    account.enter(&ask, &client.send(&ask).await);
                    if client.may_go_on() {
                        idle.lock().expect("nobody panics with it").push(client);
                    }
                }
                Err(error) => account.enter(&ask, &Seen::nothing(error)),
            }
            drop(permit);
        });
    }
    // All permits: nothing is under way.
    let all = u32::try_from(IN_FLIGHT_MAX).expect("few");
    let _ = permits.acquire_many(all).await.expect("it is never closed");
}
