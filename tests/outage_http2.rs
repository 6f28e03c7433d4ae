//! Outages where both sides speak TLS and HTTP/2: many requests share what dies.

mod harness;

use anyfront::health::Standing;
use anyfront::lab::fault::Fault;
use anyfront::lab::world::Settings;
use anyfront::names::Hostname;
use anyfront::tls::trust::Trust;
use anyfront::upstream::body::Outgoing;
use anyfront::upstream::dial::{Dialled, Way, dial};
use futures_util::future::join_all;
use harness::{BOUND, Fleet, SILENT, SOON, from, get, get_path, hostname, post, quick_and_secure};
use http::{Request, StatusCode};
use http_body_util::BodyExt;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, ServerName};
use serde_json::Value as Json;

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn many_requests_share_a_connection_and_all_survive_its_end() {
    let fleet = Fleet::start(quick_and_secure()).await;
    let seen = fleet.ask(get("us"), from("New York")).await;
    assert_eq!(seen.json()["version"], "HTTP/2", "{seen:?}");
    let before = fleet.world.counts("orf").connections;
    let many = || join_all((0..40).map(|_| fleet.ask(get_path("us", "/slow?ms=500"), from("New York"))));
    assert!(many().await.iter().all(|seen| seen.is_good() && seen.region() == "orf"));
    let opened = fleet.world.counts("orf").connections - before;
    assert!(opened < 20, "40 requests took {opened} connections, probes included");

    let (seen, ()) = tokio::join!(many(), async {
        fleet.until_begun("orf", 40).await;
        fleet.kill("orf");
    });
    assert!(seen.iter().all(harness::Seen::is_good), "a reset stream of a safe request goes on elsewhere");
    let posts = join_all((0..20).map(|_| fleet.ask(post("us"), from("New York")))).await;
    assert!(posts.iter().all(|seen| seen.is_good() && seen.region() == "dfw"), "refused: it reached nobody");
    assert_eq!(fleet.posts_processed_twice(), []);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_silent_connection_keeps_no_safe_request() {
    let fleet = Fleet::start(Settings { extra: SILENT.to_owned(), ..quick_and_secure() }).await;
    for _ in 0..4 {
        assert!(fleet.ask(get("us"), from("New York")).await.is_good());
    }
    for fault in [Fault::Blackhole, Fault::Hang] {
        let nearest = if fault == Fault::Blackhole { "orf" } else { "dfw" };
        fleet.suffer(nearest, fault);
        let seen = join_all((0..20).map(|_| fleet.ask(get("us"), from("New York")))).await;
        assert!(seen.iter().all(|seen| seen.is_good() && seen.region() != nearest), "{fault}");
        fleet.until_standing(nearest, Standing::Down, SOON).await;
        let posts = join_all((0..10).map(|_| fleet.ask(post("us"), from("New York")))).await;
        assert!(posts.iter().all(|seen| seen.is_good() && seen.region() != nearest), "{fault}");
    }
    assert_eq!(fleet.posts_processed_twice(), []);
}

/// Clients that speak HTTP/2 by TLS see an outage no more than others.
#[tokio::test(flavor = "multi_thread", worker_threads = 1)]
async fn a_client_of_http2_sees_no_outage_and_no_clean_end_of_what_was_cut() {
    let fleet = Fleet::start(Settings { trusts_loopback: true, ..quick_and_secure() }).await;
    let authority = CertificateDer::from_pem_file(fleet.world.ca_path()).expect("the lab's authority");
    let name = Hostname::parse(&hostname("us")).expect("a name");
    let way = Way::Tls {
        trust: Trust::new(&[authority]),
        name: ServerName::try_from(name.as_str().to_owned()).expect("a name"),
    };
    let dialled = dial(&way, &[fleet.node().https[0]], false, BOUND).await.expect("a connection");
    let Dialled::Http2(sender, _line) = dialled else { panic!("HTTP/2 is offered") };
    let ask = |path: &str| {
        let mut sender = sender.clone();
        let request = Request::get(format!("https://{}{path}", hostname("us")))
            .header("x-forwarded-for", from("New York").to_string())
            .body(Outgoing::Empty)
            .expect("a request");
        async move {
            let answer = sender.send_request(request).await.expect("an answer");
            let (head, body) = answer.into_parts();
            (head, body.collect().await.map(http_body_util::Collected::to_bytes))
        }
    };
    let (head, body) = ask("/whoami").await;
    let whoami: Json = serde_json::from_slice(&body.expect("a body")).expect("JSON");
    assert_eq!((head.status, &whoami["region"]), (StatusCode::OK, &Json::from("orf")));
    fleet.kill("orf");
    let answers = join_all((0..20).map(|_| ask("/whoami"))).await;
    assert!(answers.iter().all(|(head, body)| head.headers["x-anyfront-region"] == "dfw" && body.is_ok()));
    fleet.suffer("dfw", Fault::Cut);
    let (head, body) = ask("/bytes/100000").await;
    assert!(head.status == StatusCode::OK && body.is_err(), "a cut answer is a reset stream");
    // The connection lives on.
    fleet.heal("dfw");
    let (head, body) = ask("/whoami").await;
    assert!(head.status == StatusCode::OK && body.is_ok());
}
