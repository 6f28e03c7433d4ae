//! Certificates are ordered from a real directory, kept whole, and renewed; whatever goes wrong leaves the last good one.

mod common;
#[path = "common/directory.rs"]
mod directory;
#[path = "common/needs.rs"]
mod needs;
#[path = "common/pebble.rs"]
mod pebble;
#[path = "common/tls.rs"]
mod tls;

use anyfront::acme::order::{OrderError, order};
use anyfront::acme::schedule::Pace;
use anyfront::acme::store::{Kept, Store};
use anyfront::acme::{self, Challenges, Parts};
use anyfront::limits::ACME_ANSWER_BYTES_MAX;
use anyfront::moment::{Clock, Dice};
use anyfront::names::Hostname;
use anyfront::snapshot::{Published, Snapshot};
use anyfront::topology::zone::words::CertificateName;
use anyfront::topology::zone::{Acme, ExternalAccount};
use directory::{Asked, Directory, body_of, status, with_body};
use hickory_proto::op::{Message, MessageType, ResponseCode};
use hickory_proto::rr::rdata::TXT;
use hickory_proto::rr::{RData, Record};
use pebble::{Pebble, Wish};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tempfile::TempDir;
use tls::{Authority, until};
use tokio::runtime::Runtime;
use tokio::sync::watch;

/// Quicker than the default, for tests.
const PACE: Pace = Pace {
    first: Duration::from_millis(200),
    free: Duration::from_millis(200),
    look: Duration::from_secs(60),
    max: Duration::from_secs(1),
};

/// DNS that answers what is published, unless it is to lie.
struct Dns {
    address: SocketAddr,
    challenges: Challenges,
    lies: Arc<AtomicBool>,
    /// Every answer to TXT that had more than nothing in it.
    told: Arc<Mutex<Vec<Vec<String>>>>,
}

impl Dns {
    fn start() -> Self {
        Self::answering(&Challenges::default())
    }

    fn answering(challenges: &Challenges) -> Self {
        let socket = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = socket.local_addr().expect("an address");
        let dns = Self { address, challenges: Arc::clone(challenges), lies: Arc::default(), told: Arc::default() };
        let (challenges, lies, told) = (dns.challenges.clone(), dns.lies.clone(), dns.told.clone());
        std::thread::spawn(move || {
            let mut buffer = [0; 1_500];
            while let Ok((length, from)) = socket.recv_from(&mut buffer) {
                let Ok(question) = Message::from_vec(&buffer[..length]) else { continue };
                let Some(query) = question.queries.first().cloned() else { continue };
                let mut answer = Message::response(question.metadata.id, question.metadata.op_code);
                answer.metadata.message_type = MessageType::Response;
                answer.metadata.authoritative = true;
                answer.add_query(query.clone());
                let published = challenges.load();
                let found = published.iter().find(|(owner, _)| owner == query.name());
                let values = found.map(|(_, values)| values.clone()).unwrap_or_default();
                match values.is_empty() {
                    true => answer.metadata.response_code = ResponseCode::NXDomain,
                    false => told.lock().expect("no panic").push(values.clone()),
                }
                for value in values {
                    let value = if lies.load(SeqCst) { "something else".to_owned() } else { value };
                    answer.add_answer(Record::from_rdata(query.name().clone(), 0, RData::TXT(TXT::new(vec![value]))));
                }
                let _ = socket.send_to(&answer.to_vec().expect("it fits"), from);
            }
        });
        dns
    }
}

/// A node's part that orders, and where it keeps things.
struct Stand {
    dns: Dns,
    folder: TempDir,
    runtime: Runtime,
    clock: Clock,
}

impl Stand {
    fn new() -> Self {
        let runtime = Runtime::new().expect("a runtime");
        let clock = runtime.block_on(async { Clock::start() });
        Self { dns: Dns::start(), folder: tempfile::tempdir().expect("a folder"), runtime, clock }
    }

    fn store(&self) -> Store {
        let store = Store::in_state(self.folder.path());
        store.make_ready(self.clock.wall()).expect("a folder");
        store
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join("acme").join(name)
    }

    fn parts(&self) -> Parts {
        Parts {
            store: self.store(),
            challenges: self.dns.challenges.clone(),
            dns: Some(self.dns.address),
            changed: Arc::default(),
            pace: PACE,
            clock: self.clock,
            seed: 7,
        }
    }

    /// One order.
    fn order(&self, terms: &Acme) -> Result<Kept, OrderError> {
        self.order_with(&self.parts(), terms)
    }

    fn order_with(&self, parts: &Parts, terms: &Acme) -> Result<Kept, OrderError> {
        let before = parts.store.kept(self.clock.wall());
        self.runtime.block_on(order(parts, terms, before.as_ref(), &mut Dice::seeded(1)))
    }

    /// Orders until the result is dropped.
    fn run(&self, terms: &Acme) -> Running {
        let published = Published::new(believing(terms, 1));
        let shutdown = watch::Sender::new(false);
        self.runtime.spawn(acme::run(self.parts(), published.clone(), shutdown.subscribe()));
        Running { published, shutdown }
    }

    /// The certificate's file.
    fn certificate(&self) -> Option<Vec<u8>> {
        std::fs::read(self.path("certificate.pem")).ok()
    }

    fn kept(&self) -> Option<Kept> {
        self.store().kept(self.clock.wall())
    }

    /// The names in the folder, sorted.
    fn files(&self) -> Vec<String> {
        let entries = std::fs::read_dir(self.folder.path().join("acme")).expect("a folder");
        let mut names: Vec<String> =
            entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    fn account(&self) -> String {
        let is_account = |name: &String| name.starts_with("account-") && name.ends_with(".json");
        self.files().into_iter().find(is_account).expect("an account")
    }
}

struct Running {
    published: Published,
    shutdown: watch::Sender<bool>,
}

impl Running {
    /// From now on these are in force.
    fn wants(&self, terms: &Acme) {
        self.published.store(believing(terms, self.published.load().generation + 1));
    }
}

/// What a node believes whose file says this.
fn believing(terms: &Acme, generation: u64) -> Arc<Snapshot> {
    let text = tls::file(([127, 0, 0, 1], 1).into(), "");
    let mut topology = common::topology(&text);
    topology.acme = Some(Arc::new(terms.clone()));
    Arc::new(Snapshot { generation, ..common::first_snapshot(topology) })
}

impl Drop for Running {
    fn drop(&mut self) {
        self.shutdown.send_replace(true);
    }
}

fn terms(url: &str, authority: &Authority) -> Acme {
    Acme {
        directory: url.into(),
        contact: vec!["mailto:hostmaster@gw.test".to_owned()],
        names: ["gw.test", "*.gw.test"].map(name).to_vec(),
        profile: None,
        authority: vec![CertificateDer::from_pem_slice(authority.pem.as_bytes()).expect("a certificate")],
        external_account: None,
    }
}

fn name(written: &str) -> CertificateName {
    let (is_wildcard, base) = written.strip_prefix("*.").map_or((false, written), |base| (true, base));
    CertificateName { base: Hostname::parse(base).expect("a name"), is_wildcard }
}

/// As certificates have them.
fn names(terms: &Acme) -> Vec<String> {
    terms.names.iter().map(ToString::to_string).collect()
}

fn mode(path: PathBuf) -> u32 {
    std::fs::metadata(path).expect("it is there").permissions().mode() & 0o777
}

#[test]
fn a_name_and_its_wildcard_are_proven_at_the_same_time_and_come_in_one_certificate() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let pebble = Pebble::start(stand.dns.address, &Wish { bad_nonces_percent: 5, ..Wish::default() });
    let terms = terms(&pebble.url(), &pebble.authority);
    let kept = stand.order(&terms).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(kept.lacks(&names(&terms)), None);
    assert_eq!(*kept.directory, *terms.directory);
    // Both values stood at one owner, and both are gone.
    assert!(stand.dns.told.lock().expect("no panic").iter().any(|values| values.len() == 2));
    assert!(stand.dns.challenges.load().is_empty());
    assert_eq!(mode(stand.folder.path().join("acme")), 0o700);
    for file in stand.files() {
        assert_eq!(mode(stand.path(&file)), 0o600, "{file}");
    }
    // A client that believes the authority believes it for any name asked for.
    let text = stand.certificate().expect("a certificate");
    let chain: Vec<_> = CertificateDer::pem_slice_iter(&text).collect::<Result<_, _>>().expect("certificates");
    assert!(chain.len() >= 2, "the intermediate is in it");
    assert!(is_believed(&chain, pebble.root(), "gw.test"));
    assert!(is_believed(&chain, pebble.root(), "eu.gw.test"));
    assert!(!is_believed(&chain, pebble.root(), "gw.example"));
}

use rustls::client::danger::ServerCertVerifier;

/// Whether a client that trusts `root` believes `chain` to be `name`.
fn is_believed(chain: &[CertificateDer<'static>], root: CertificateDer<'static>, name: &str) -> bool {
    use rustls::client::WebPkiServerVerifier;
    use rustls_pki_types::{ServerName, UnixTime};
    let mut roots = rustls::RootCertStore::empty();
    roots.add(root).expect("an authority");
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), anyfront::tls::provider()).build();
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    verifier.expect("a verifier").verify_server_cert(&chain[0], &chain[1..], &name, &[], UnixTime::now()).is_ok()
}

#[test]
fn an_account_is_bound_where_the_directory_wants_it() {
    if !pebble::is_there() {
        return;
    }
    use base64::Engine as _;
    const KEY: &str = "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W";
    let stand = Stand::new();
    let pebble = Pebble::start(stand.dns.address, &Wish { bound: Some(("kid-1", KEY)), ..Wish::default() });
    let mut terms = terms(&pebble.url(), &pebble.authority);
    let error = stand.order(&terms).expect_err("not bound").to_string();
    assert!(error.starts_with("the account: ") && error.contains("externalAccountRequired"), "{error}");
    let key = base64::prelude::BASE64_URL_SAFE_NO_PAD.decode(KEY).expect("a key");
    let account = ExternalAccount { id: "kid-1".into(), key: Arc::new(key.into()) };
    assert!(!format!("{account:?}").contains("206"), "its key is shown to nobody");
    terms.external_account = Some(account);
    stand.order(&terms).unwrap_or_else(|error| panic!("{error}"));
}

#[test]
fn a_challenge_that_our_own_dns_does_not_answer_is_never_shown_to_the_directory() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let pebble = Pebble::start(stand.dns.address, &Wish::default());
    let terms = terms(&pebble.url(), &pebble.authority);
    stand.dns.lies.store(true, SeqCst);
    // Whatever is not answered after a second here never will be.
    let brief = Parts { pace: Pace { look: Duration::from_secs(1), ..PACE }, ..stand.parts() };
    let error = stand.order_with(&brief, &terms).expect_err("it lies");
    assert!(error.is_free());
    assert!(matches!(&error, OrderError::Unanswered { .. }), "{error}");
    let told = error.to_string();
    assert!(told.contains("_acme-challenge.gw.test.") && told.contains("none of the values"), "{told}");
    assert!(!pebble.said().contains("Pulled a task from the Tasks queue"), "{}", pebble.said());
    // If it lies to the directory alone, the directory's own words are told.
    let honest = Dns::answering(&stand.dns.challenges);
    let error = stand.order_with(&Parts { dns: Some(honest.address), ..stand.parts() }, &terms).expect_err("it lies");
    assert!(matches!(&error, OrderError::Unproven { .. }) && !error.is_free(), "{error}");
    let told = error.to_string();
    assert!(told.contains("gw.test") && told.contains("Correct value not found"), "{told}");
    assert!(stand.dns.challenges.load().is_empty());
    assert!(stand.certificate().is_none());
    // And a node without DNS does not even ask.
    let error = stand.order_with(&Parts { dns: None, ..stand.parts() }, &terms).expect_err("no DNS").to_string();
    assert!(error.contains("--dns"), "{error}");
}

#[test]
fn a_directory_that_is_not_who_it_should_be_is_not_told_anything() {
    let stand = Stand::new();
    let [ours, other] = ["ours", "another"].map(Authority::new);
    let asked = Arc::new(AtomicBool::new(false));
    let was_asked = Arc::clone(&asked);
    let directory = Directory::start(&other, move |_| {
        was_asked.store(true, SeqCst);
        status(200, "")
    });
    let error = stand.order(&terms(&directory.url(), &ours)).expect_err("untrusted").to_string();
    assert!(error.contains("is not trusted"), "{error}");
    assert!(!asked.load(SeqCst));
    // Nor is one in the clear, or one that is not there.
    let error = stand.order(&terms("http://localhost:1/dir", &ours)).expect_err("in the clear").to_string();
    assert!(error.contains("is no https URL"), "{error}");
    let error = stand.order(&terms("https://localhost:1/dir", &ours)).expect_err("nobody there").to_string();
    assert!(error.contains("localhost:1 cannot be reached"), "{error}");
}

#[test]
fn an_answer_is_read_up_to_its_bound_and_not_one_octet_more() {
    let stand = Stand::new();
    let authority = Authority::new("ours");
    for (length, told) in [(ACME_ANSWER_BYTES_MAX, "newNonce"), (ACME_ANSWER_BYTES_MAX + 1, "with more than")] {
        let directory = Directory::start(&authority, move |asked| match &*asked.path {
            "/dir" => {
                let urls = serde_json::json!({ "newNonce": "https://localhost:9/", "newAccount": "", "newOrder": "" });
                let mut body = urls.to_string().replace("localhost:9", "");
                body = body.replace("https:///", &format!("https://localhost:{}/nonce", port_of(asked)));
                body.push_str(&" ".repeat(length - body.len()));
                format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n{body}")
            }
            _ => status(404, ""),
        });
        let error = stand.order(&terms(&directory.url(), &authority)).expect_err("no directory").to_string();
        assert!(error.contains(told), "{length}: {error}");
    }
}

/// At which port a request arrived, as it says itself.
fn port_of(asked: &Asked) -> &str {
    let host = asked.field("host").expect("a host");
    host.rsplit(':').next().expect("a port")
}

#[test]
fn a_directory_that_wants_to_be_left_alone_is_left_alone() {
    let stand = Stand::new();
    let authority = Authority::new("ours");
    let asked = Arc::new(Mutex::new(0));
    let counted = Arc::clone(&asked);
    let directory = Directory::start(&authority, move |asked| {
        let here = format!("https://localhost:{}", port_of(asked));
        match &*asked.path {
            "/dir" => with_body(
                &status(200, ""),
                &serde_json::json!({
                    "newNonce": format!("{here}/nonce"), "newAccount": format!("{here}/account"), "newOrder": here,
                }),
            ),
            "/nonce" => status(200, "Replay-Nonce: abc\r\n"),
            _ => {
                *counted.lock().expect("no panic") += 1;
                let problem =
                    serde_json::json!({ "type": "urn:ietf:params:acme:error:rateLimited", "detail": "too many" });
                with_body(&status(429, "Retry-After: 120\r\n"), &problem)
            }
        }
    });
    let terms = terms(&directory.url(), &authority);
    let error = stand.order(&terms).expect_err("too many");
    assert_eq!(error.retry_after(), Some(Duration::from_secs(120)));
    assert!(error.to_string().contains("too many"), "{error}");
    // The same by the loop: it is written down that nothing happens for so long, though its own pace is quicker.
    let before = stand.clock.wall().as_secs();
    let running = stand.run(&terms);
    let past = || std::fs::read_to_string(stand.path("past.json")).unwrap_or_default();
    let retry_at = || serde_json::from_str::<serde_json::Value>(&past()).ok()?["retry_at_s"].as_u64();
    until("the wait is written down", || retry_at().is_some_and(|at| at >= before + 110));
    assert_eq!(*asked.lock().expect("no panic"), 2);
    // Whoever edits the file wants to see at once whether it helped.
    let edited = Acme { contact: Vec::new(), ..terms.clone() };
    running.wants(&edited);
    until("it is tried again", || *asked.lock().expect("no panic") == 3);
    until("the wait is written down again", || retry_at().is_some_and(|at| at >= before + 110));
    drop(running);
    // A restart does not forget it.
    let never = watch::Sender::new(false);
    let again = acme::run(stand.parts(), Published::new(believing(&edited, 1)), never.subscribe());
    let _ = stand.runtime.block_on(async { tokio::time::timeout(PACE.max, again).await });
    assert_eq!(*asked.lock().expect("no panic"), 3, "it came again at once");
}

#[test]
fn a_directory_that_dies_in_the_middle_costs_nothing_and_one_that_forgot_us_gets_to_know_us_again() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let mut pebble = Pebble::start(stand.dns.address, &Wish::default());
    let (is_asked, is_dead) = (Arc::<AtomicBool>::default(), Arc::<AtomicBool>::default());
    let holds = Arc::<AtomicBool>::default();
    let directory = {
        let (address, authority) = (pebble.address, pebble.authority.pem.clone());
        let (is_asked, is_dead, holds) = (Arc::clone(&is_asked), Arc::clone(&is_dead), Arc::clone(&holds));
        Directory::start(&pebble.authority, move |asked| {
            if holds.load(SeqCst) && asked.path.starts_with("/finalize-order") {
                is_asked.store(true, SeqCst);
                until("it died", || is_dead.load(SeqCst));
            }
            asked.pass(address, &authority)
        })
    };
    let mut terms = terms(&directory.url(), &pebble.authority);
    let running = stand.run(&terms);
    until("the first certificate came", || stand.certificate().is_some());
    let (first, account) = (stand.certificate(), stand.account());
    // Another name is asked for, and the directory dies when it is to sign.
    holds.store(true, SeqCst);
    terms.names.push(name("one.more.gw.test"));
    running.wants(&terms);
    until("it is to sign", || is_asked.load(SeqCst));
    pebble.kill();
    is_dead.store(true, SeqCst);
    let failures = || {
        let text = std::fs::read_to_string(stand.path("past.json")).unwrap_or_default();
        serde_json::from_str::<serde_json::Value>(&text).ok()?["failures"].as_u64()
    };
    until("it tries again", || failures().is_some_and(|failures| failures >= 2));
    assert_eq!(stand.certificate(), first, "the last good one is in force");
    assert!(stand.dns.challenges.load().is_empty());
    // It comes back, and remembers nothing.
    let pebble = pebble.again(stand.dns.address, &Wish::default());
    until("the new name is in it", || stand.kept().is_some_and(|kept| kept.lacks(&names(&terms)).is_none()));
    until("the failures are forgotten", || failures() == Some(0));
    assert!(stand.files().contains(&format!("{account}.aside-1")), "{:?}", stand.files());
    assert_eq!(pebble.issued(), 1);
}

#[test]
fn a_certificate_is_renewed_before_it_ends_and_is_whole_at_every_moment() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let pebble = Pebble::start(stand.dns.address, &Wish { lives_seconds: 45, ..Wish::default() });
    let _running = stand.run(&terms(&pebble.url(), &pebble.authority));
    until("the first certificate came", || stand.certificate().is_some());
    let mut lives = Vec::new();
    until("another came", || {
        let kept = stand.kept().expect("a whole one");
        if lives.last() != Some(&kept.life) {
            lives.push(kept.life);
        }
        lives.len() == 2
    });
    assert!(lives[1].not_before < lives[0].not_after, "{lives:?}");
}

#[test]
fn a_certificate_is_replaced_when_the_directory_suggests_it_and_the_order_says_which() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let pebble = Pebble::start(stand.dns.address, &Wish::default());
    let asked_about = Arc::new(Mutex::new(Vec::<String>::new()));
    let replaced = Arc::new(Mutex::new(Vec::<Option<String>>::new()));
    let directory = {
        let (address, authority) = (pebble.address, pebble.authority.pem.clone());
        let (asked_about, replaced) = (Arc::clone(&asked_about), Arc::clone(&replaced));
        Directory::start(&pebble.authority, move |asked| {
            if let Some(id) = asked.path.strip_prefix("/renewal/") {
                let mut all = asked_about.lock().expect("no panic");
                all.push(id.to_owned());
                // The first is to be replaced, for some reason of theirs; the others are good for long.
                let (start, end) = match all.first().is_some_and(|first| first == id) {
                    true => ("2020-01-01T00:00:00Z", "2020-01-02T00:00:00Z"),
                    false => ("2027-06-01T00:00:00Z", "2027-06-02T00:00:00Z"),
                };
                let body = serde_json::json!({ "suggestedWindow": { "start": start, "end": end } });
                return with_body(&status(200, ""), &body);
            }
            let answer = asked.pass(address, &authority);
            match &*asked.path {
                "/dir" => {
                    let mut urls = body_of(&answer);
                    urls["renewalInfo"] = format!("https://localhost:{}/renewal", port_of(asked)).into();
                    with_body(&answer, &urls)
                }
                "/order-plz" if answer.contains(" 201 ") => {
                    let wanted = asked.payload()["replaces"].as_str().map(str::to_owned);
                    replaced.lock().expect("no panic").push(wanted.clone());
                    let mut order = body_of(&answer);
                    if let Some(wanted) = wanted {
                        order["replaces"] = wanted.into();
                    }
                    with_body(&answer, &order)
                }
                _ => answer,
            }
        })
    };
    let _running = stand.run(&terms(&directory.url(), &pebble.authority));
    let id = || stand.kept().and_then(|kept| Some(kept.id?.to_string()));
    until("the first certificate came", || id().is_some());
    let first = id().expect("one");
    until("it was replaced, and the other was asked about", || {
        asked_about.lock().expect("no panic").len() == 2 && id().as_ref() != Some(&first)
    });
    let second = id().expect("one");
    assert_eq!(*asked_about.lock().expect("no panic"), [first.clone(), second]);
    assert_eq!(*replaced.lock().expect("no panic"), [None, Some(first)]);
    assert_eq!(pebble.issued(), 2);
}

#[test]
fn a_certificate_of_another_directory_does_not_count() {
    if !pebble::is_there() {
        return;
    }
    let stand = Stand::new();
    let [one, other] = [0; 2].map(|_| Pebble::start(stand.dns.address, &Wish::default()));
    let running = stand.run(&terms(&one.url(), &one.authority));
    until("the first certificate came", || stand.kept().is_some_and(|kept| kept.directory == one.url()));
    running.wants(&terms(&other.url(), &other.authority));
    until("the other gave one", || stand.kept().is_some_and(|kept| kept.directory == other.url()));
    // Back again: the account there is still known.
    running.wants(&terms(&one.url(), &one.authority));
    until("the first gave another", || one.issued() == 2);
    assert_eq!(stand.files().iter().filter(|name| name.starts_with("account-")).count(), 2, "{:?}", stand.files());
}
