//! `regions.toml` as written: its tables, their keys, what each means and what it is when absent.
//!
//! The documentation of a key here is what editors show (`anyfront check --schema`).

pub mod dns;
pub mod status;

use super::class::{By, CookieName, FieldName, Pattern, Style, WebOrigin, WhenLost};
use super::dates::When;
use super::kind::Kind;
use super::link::Cloud;
use super::read::{Any, At, Degrees, May, Must, Told, Whole, Written, nearest, quoted, table};
use super::words::{Also, Level, Pointer, Prefix, Statuses, Url, UrlPath};
use super::zone::Answer;
use super::{AllDown, ClientCertificate, Dialect, HostFrom, NatState, Steering, StreamEnd};
use crate::geo::place::Country;
use crate::names::{Hostname, Label};
use http::Method;
use ipnet::IpNet;
use serde_json::{Value as Json, json};
use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

table! {
    /// The fleet of anyfront: sites, regions, endpoints, hostnames. The same file on every node.
    File "the file" {
        /// The fleet itself.
        fleet: Must<Fleet>,
        /// Where nodes stand. At least one.
        site: Must<Vec<At<Site>>>,
        /// Where clients are. Absent: the country database in the box, no overrides.
        geo: May<Geo>,
        /// How regions are probed, unless a region says otherwise.
        probe: May<Probe>,
        /// How requests are carried.
        forward: May<Forward>,
        /// Places at providers where the service runs. At least one.
        region: Must<Vec<At<Region>>>,
        /// Hostnames and who serves them. Every region has one of its own besides: CODE.zone.
        hostname: May<Vec<At<Served>>>,
        /// Where the addresses are told that regions call out from. Absent: nowhere.
        nat_ips: May<NatIps>,
        /// Kinds of traffic; the first that matches counts. What matches none is plain, and GET, HEAD and OPTIONS are safe.
        class: May<Vec<At<Class>>>,
        /// Private links that are known. One that is not is served like any client.
        private_link: May<Vec<At<Link>>>,
        /// The zone at the fleet's `zone`, if nodes answer for it by DNS. Absent: they answer no DNS.
        zone: May<dns::Zone>,
        /// Certificates for names in the zone, made and renewed by ACME. Absent: certificates are files.
        acme: May<dns::Acme>,
        /// The public status page, and who is told of incidents. Absent: a page without a hostname, and nobody by mail.
        status: May<status::Status>,
    }
}

table! {
    /// The fleet itself.
    Fleet "[fleet]" {
        /// What the fleet is called in logs and on the status page.
        name: Must<Label>,
        /// The name below which every region has its own hostname. Also our id in CDN-Loop, so it must be a name we own.
        zone: Must<Hostname>,
    }
}

table! {
    /// A place where nodes stand.
    Site "[[site]]" {
        /// What it is called: `serve --site NAME`.
        name: Must<Label>,
        /// In or near which city, for people.
        city: May<String>,
        /// In which country (ISO 3166-1, two capital letters).
        country: May<Country>,
        /// Degrees north. Clients whose place is unknown are taken to be here, because anycast brought them.
        latitude: Must<Degrees<90>>,
        /// Degrees east.
        longitude: Must<Degrees<180>>,
        /// Where clients reach it: what DNS answers.
        addresses: May<Vec<At<IpAddr>>> = [],
        /// At which port of them the other sites ask whether it answers, so that DNS leaves out those that do not: where it
        /// takes HTTPS from clients.
        port: May<Whole<1, 65_535>> = 443,
    }
}

table! {
    /// Where clients are.
    Geo "[geo]" {
        /// A country or city database in MaxMind's format, relative to this file. Absent: the one in the box.
        database: May<String>,
        /// Networks whose place is known better than the database knows it; the longest prefix wins.
        place: May<Vec<At<GeoPlace>>>,
    }
}

table! {
    /// A network whose place is known.
    GeoPlace "[[geo.place]]" {
        /// The network.
        prefix: Must<IpNet>,
        /// In or near which city, for people.
        city: May<String>,
        /// In which country (ISO 3166-1, two capital letters).
        country: May<Country>,
        /// Degrees north.
        latitude: Must<Degrees<90>>,
        /// Degrees east.
        longitude: Must<Degrees<180>>,
    }
}

table! {
    /// How endpoints are probed: on the way that traffic goes, TLS as the endpoint's URL says.
    Probe "[probe]" {
        /// `http` sends a GET and judges the answer; `tcp` only opens a connection; `token` opens a tiny stream of a
        /// model and watches it flow; `mcp` makes a call that every MCP server answers and that changes nothing; `grpc`
        /// asks gRPC's health service.
        kind: May<Kind> = "http",
        /// Path and query of what is asked. It should go through everything a request goes through. For `token`
        /// "/v1/chat/completions", for `mcp` "/mcp".
        path: May<UrlPath> = "/health",
        /// Between probes of an endpoint that is up and stable. One second: a refused region is down within two. For
        /// `token` and `mcp` "10s": they cost the gateway more.
        interval: May<Duration> = "1s",
        /// Between probes while in doubt. At most `interval`. For `token` and `mcp` "1s".
        fast_interval: May<Duration> = "250ms",
        /// Between probes of an endpoint that is down: slower, so that the sick are not hammered. For `token` and `mcp`
        /// "5s".
        down_interval: May<Duration> = "2s",
        /// From the first packet to the last byte that matters. Four times the round trip to the far side of the earth.
        /// For `token` "10s": the whole stream; for `mcp` "3s": up to three calls.
        timeout: May<Duration> = "1500ms",
        /// Passes in a row that bring an endpoint up. More than one, so that a lucky probe brings nobody back.
        rise: May<Whole<1, 100>> = 3,
        /// Failures that take it down; they need not be in a row. More than one, so that one lost packet takes nobody out.
        fall: May<Whole<1, 100>> = 3,
        /// Passes in a row that forgive earlier failures: an endpoint that loses some of its probes goes down in the end.
        reset_ok: May<Whole<1, 1000>> = 10,
        /// Status codes that pass: single ones and ranges.
        expect_status: May<Vec<At<Statuses>>> = ["200-299"],
        /// Text that the body must have somewhere. Empty: any body will do.
        expect_body: May<String> = "",
        /// A value that the body must have, if it must be JSON.
        expect_json: May<ExpectJson>,
        /// Which service `grpc` asks for. Empty: the whole endpoint, which every health service knows.
        service: May<String> = "",
        /// For `token`: which model. One that costs nothing, such as an echo; there is no default that could be right.
        model: May<String>,
        /// For `token`: so many events must come at least, before `data: [DONE]`. Three: one alone has no gap.
        events: May<Whole<1, 1000>> = 3,
        /// For `token`: the first event must come within this of the request. Far more than an echo needs.
        first_event: May<Duration> = "2s",
        /// For `token`: each further event must come within this of the one before.
        gap: May<Duration> = "1s",
        /// For `token` and `mcp`: a file, relative to this one, with the value of the header Authorization, such as
        /// "Bearer …". Read when this file is; never shown.
        authorization_file: May<String>,
        /// Further probes of the same endpoints, each complete in itself, at most one of a kind: `[[probe.also]]`. An
        /// endpoint is up only if every probe passes. A region that has its own replaces all of them.
        also: May<Also>,
    }
}

table! {
    /// A value that a JSON body must have.
    ExpectJson "expect_json" {
        /// Where in the body: a JSON pointer (RFC 6901).
        pointer: Must<Pointer>,
        /// What must be there.
        value: Must<Any>,
    }
}

table! {
    /// How requests are carried.
    Forward "[forward]" {
        /// Attempts that may have reached a region. Those that reached nobody are not counted. Three: more would only
        /// make an overload worse.
        attempts: May<Whole<1, 10>> = 3,
        /// Requests repeated that a region may have processed, in 100 that it served in the last ten seconds, of each hostname
        /// at each region. A tenth: a fleet that fails under load must not be given much more of it.
        retry_budget: May<Whole<0, 100>> = 10,
        /// And so many a second besides, so that a fleet with little traffic can still recover.
        retry_floor: May<Whole<0, 10_000>> = 3,
        /// How long to go on with attempts that reach nobody. Most clients give up connecting after five seconds.
        failover_timeout: May<Duration> = "5s",
        /// For one connection, TLS included. Three round trips around the earth, with room for one lost packet.
        connect_timeout: May<Duration> = "1s",
        /// From the request's end to the answer's head. As long as the common SDKs wait.
        first_byte_timeout: May<Duration> = "600s",
        /// Longest silence inside an answer. As long as the common SDKs wait.
        stream_idle_timeout: May<Duration> = "600s",
        /// Longest silence on a WebSocket, both ways; then both ends get a Close (1001). Five minutes: who wants to stay
        /// says something, a ping perhaps; common libraries do so every 20 to 60 seconds.
        websocket_idle_timeout: May<Duration> = "5m",
        /// How long a recovered endpoint takes to get its full share; `0s`: at once.
        slow_start: May<Duration> = "60s",
        /// How long a client's connection goes on taking requests, a fifth more or less, so that many do not end together.
        /// Then HTTP/1.1 ends it with the next answer, HTTP/2 asks for a new one (GOAWAY); no answer is cut. `0s`: for ever.
        /// A quarter of an hour: clients that never ask DNS again find the way to a nearer or a new node all the same.
        connection_max_age: May<Duration> = "15m",
        /// Networks of the proxies in front of us, whose X-Forwarded-For and Forwarded are believed. Nobody's otherwise.
        trusted_proxies: May<Vec<At<IpNet>>> = [],
        /// PEM files, relative to this one, with certificate authorities believed at endpoints besides the public ones.
        trust: May<Vec<At<String>>> = [],
    }
}

table! {
    /// A place at a provider where the service runs.
    Region "[[region]]" {
        /// Its code, which is also its hostname's first label below the zone.
        name: Must<Label>,
        /// Who runs it: regions of one provider are expected to fail together.
        provider: Must<Label>,
        /// In or near which city, for people.
        city: May<String>,
        /// In which country (ISO 3166-1, two capital letters): what residency goes by.
        country: Must<Country>,
        /// Degrees north.
        latitude: Must<Degrees<90>>,
        /// Degrees east.
        longitude: Must<Degrees<180>>,
        /// URLs of what answers there: scheme, name or address, perhaps a port. Names are resolved again and again.
        /// Instead of `[[region.endpoint]]`.
        endpoints: May<Vec<At<Url>>>,
        /// What answers there, with everything said. Instead of `endpoints`.
        endpoint: May<Vec<At<Endpoint>>>,
        /// Its public addresses, for DNS.
        addresses: May<Vec<At<IpAddr>>> = [],
        /// Concurrent requests that one node gives it at most. Absent: no limit.
        capacity: May<Whole<1, 1_000_000>>,
        /// Its share where a hostname's steering is `weighted`.
        weight: May<Whole<0, 10_000>> = 100,
        /// Where it calls out from: what customers allow in their firewalls.
        nat_ip: May<Vec<At<NatIp>>>,
        /// How this region is probed, where it differs from `[probe]`.
        probe: May<Probe>,
        /// As in `[[hostname]]`, for the region's own hostname: who signs its clients' certificates.
        client_ca: May<Vec<At<String>>>,
        /// Whether a client of that hostname must have such a certificate: `required` or `optional`. Only with `client_ca`.
        client_certificate: May<ClientCertificate> = "required",
        /// As in `[[hostname]]`, for the region's own hostname: what DNS answers, `front` or `region`.
        answer: May<Answer> = "front",
        /// As in `[[hostname]]`, for the region's own hostname: how long such answers may be believed.
        ttl: May<dns::Ttl>,
    }
}

table! {
    /// A network that a region calls out from.
    NatIp "[[region.nat_ip]]" {
        /// One address, or a network.
        prefix: Must<IpNet>,
        /// From when on it may be used: a day or a time. `planned` needs it, 14 days ahead.
        valid_from: May<When>,
        /// `planned`: not used yet; `active`; `retiring`: soon not used any more.
        state: May<NatState> = "active",
    }
}

table! {
    /// Where the addresses are told that regions call out from.
    NatIps "[nat_ips]" {
        /// A hostname of its own, at which nodes answer /nat_ip.json themselves.
        hostname: Must<Hostname>,
    }
}

table! {
    /// One thing that answers in a region.
    Endpoint "[[region.endpoint]]" {
        /// What it is called, where the authority of its URL would not tell it from another.
        name: May<Label>,
        /// Scheme, name or address, perhaps a port.
        url: Must<Url>,
        /// Addresses with ports to dial instead of asking a resolver.
        connect: May<Vec<At<SocketAddr>>> = [],
        /// Whose Host and SNI it sees: its own (`endpoint`, from the URL) or the client's (`client`).
        host: May<HostFrom> = "endpoint",
        /// Its share inside the region.
        weight: May<Whole<1, 10_000>> = 100,
        /// Whether it speaks HTTP/2 in the clear without being asked, as gRPC servers do. By TLS the handshake says, and
        /// this means nothing. False: most of what speaks HTTP in the clear speaks HTTP/1.1.
        http2: May<bool> = false,
    }
}

table! {
    /// A hostname and who serves it.
    Served "[[hostname]]" {
        /// The name clients use.
        name: Must<Hostname>,
        /// Its primary regions; `*` is every region not named elsewhere in this table.
        regions: Must<Vec<At<String>>>,
        /// Who serves it when no primary is up: each element is a level, a nested list is one level of several regions.
        fallback: May<Vec<At<Level>>> = [],
        /// What comes first within a level: the `nearest` to the client, the lowest measured `latency` from the node, the
        /// first as written (`priority`), or by `weight` (`weighted`).
        steering: May<Steering> = "nearest",
        /// Countries (ISO 3166-1), `EU` or `EEA` that alone may process its requests: a fence that no outage lifts.
        /// Empty: anywhere.
        residency: May<Vec<At<String>>> = [],
        /// When nothing is up: `try-nearest` tries the best of the down all the same, `refuse` answers 503.
        all_down: May<AllDown> = "try-nearest",
        /// PEM files, relative to this one, with the authorities that sign its clients' certificates. Regions read the
        /// certificate in Client-Cert (RFC 9440). Absent: clients are not asked for one.
        client_ca: May<Vec<At<String>>>,
        /// Whether a client must have such a certificate: `required` or `optional`. Only with `client_ca`.
        client_certificate: May<ClientCertificate> = "required",
        /// What DNS answers, where there is a `[zone]`: the addresses of sites (`front`), so that the front door there
        /// fails over by itself, or those of the best regions (`region`), so that clients dial them.
        answer: May<Answer> = "front",
        /// How long such answers may be believed. Absent: as `[zone]` says.
        ttl: May<dns::Ttl>,
    }
}

table! {
    /// A kind of traffic.
    Class "[[class]]" {
        /// On which hostnames; `*` is all.
        hostnames: May<Vec<At<String>>> = ["*"],
        /// Below which path, byte for byte. Instead of `path`.
        prefix: May<Told<Prefix>>,
        /// Which shape of path, byte for byte: `*` is exactly one segment, and not an empty one; `**` at the end is all
        /// that follows. Instead of `prefix`.
        path: May<Told<Pattern>>,
        /// Whether it is MCP over streamable HTTP: a session stays in the region that began it (404 once that is lost, so
        /// that clients begin anew), and methods that only read are repeated although they are POSTs.
        mcp: May<bool> = false,
        /// The shape of our own errors: OpenAI's, JSON-RPC's or problem+json. With `mcp` JSON-RPC's, unless it is said.
        dialect: May<Dialect> = "plain",
        /// Methods that may be repeated although the first attempt may have been processed.
        safe: May<Vec<At<Method>>> = ["GET", "HEAD", "OPTIONS"],
        /// Whether the gateway honours Idempotency-Key, so that requests that carry one may be repeated too.
        idempotency_key: May<bool> = false,
        /// Whose pages may ask: what browsers write into Origin. Others get 403; who says no Origin is no page. Absent:
        /// not looked at, because the service behind knows its pages better.
        origins: May<Vec<At<WebOrigin>>>,
        /// What keeps a client's requests together in one region. Absent: nothing, because nearness and health should
        /// decide.
        affinity: May<Affinity>,
        /// How long the head of an event stream waits for the first event, so that a region that dies before it can still
        /// be replaced or reported. `0s`: not at all.
        commit_hold: May<Duration> = "250ms",
        /// After how long a silence a comment is put between the events of a stream, for middleboxes that cut quiet
        /// connections. `0s`: never.
        keep_alive: May<Duration> = "0s",
        /// Which ends of an event stream are good ones: `any` clean end, or only one after `data: [DONE]` (`done`).
        stream_end: May<StreamEnd> = "any",
    }
}

table! {
    /// A private link: a tunnel inside a cloud by which a customer's network reaches us. It is known from the PROXY header
    /// on listeners that want one (`serve --https ADDR,proxy=NETWORK`).
    Link "[[private_link]]" {
        /// Whose: `aws`, `gcp` or `azure`.
        provider: Must<Cloud>,
        /// Its id as that cloud writes it: of the VPC endpoint (`vpce-…`), the pscConnectionId, the LinkID.
        id: Must<String>,
        /// What alone may be asked for on it; anything else is answered with 421. Absent: everything.
        hostnames: May<Vec<At<String>>>,
        /// Where its requests go. Absent: where those of everybody go.
        region: May<Label>,
        /// Whether they may go elsewhere when `region` does not serve them. Otherwise they get 503 then: a private link is
        /// mostly a promise about where the traffic stays.
        leaves_region: May<bool> = false,
    }
}

table! {
    /// What keeps a client's requests together in one region.
    Affinity "affinity" {
        /// By a `cookie` that holds, sealed, which region served first; or by the value of a `header` or of the
        /// `credential` (Authorization, or else X-Api-Key): nothing is remembered then, every value has its region among
        /// those of equal standing and level, and nearness only matters between levels.
        by: Must<By>,
        /// Which header, if it goes by one.
        header: May<Told<FieldName>>,
        /// Of a cookie: whether it stays while its region is out (`temporary`), or names the one that served (`sticky`).
        style: May<Style> = "temporary",
        /// Of a cookie: whether others serve while its region is out (`move`), or nobody (`refuse`, 503).
        lost: May<WhenLost> = "move",
        /// What the cookie is called. Regions never see it.
        cookie: May<CookieName> = "anyfront-affinity",
        /// How long a cookie binds since it was made. An hour: as long as a person works on one thing.
        ttl: May<Duration> = "1h",
    }
}

/// Every table: how its header is written, and the keys it may have.
pub const TABLES: [(&str, &[&str]); 24] = [
    (File::HEADER, File::KEYS),
    (Fleet::HEADER, Fleet::KEYS),
    (Site::HEADER, Site::KEYS),
    (Geo::HEADER, Geo::KEYS),
    (GeoPlace::HEADER, GeoPlace::KEYS),
    (Probe::HEADER, Probe::KEYS),
    (ExpectJson::HEADER, ExpectJson::KEYS),
    (Forward::HEADER, Forward::KEYS),
    (Region::HEADER, Region::KEYS),
    (NatIp::HEADER, NatIp::KEYS),
    (NatIps::HEADER, NatIps::KEYS),
    (Endpoint::HEADER, Endpoint::KEYS),
    (Served::HEADER, Served::KEYS),
    (Class::HEADER, Class::KEYS),
    (Link::HEADER, Link::KEYS),
    (Affinity::HEADER, Affinity::KEYS),
    (dns::Zone::HEADER, dns::Zone::KEYS),
    (dns::Ttl::HEADER, dns::Ttl::KEYS),
    (dns::Record::HEADER, dns::Record::KEYS),
    (dns::Signed::HEADER, dns::Signed::KEYS),
    (dns::Acme::HEADER, dns::Acme::KEYS),
    (dns::ExternalAccount::HEADER, dns::ExternalAccount::KEYS),
    (status::Status::HEADER, status::Status::KEYS),
    (status::Mail::HEADER, status::Mail::KEYS),
];

/// Names that keys had, or have elsewhere, and their names here. Applied where the second is a key.
const RENAMED: [(&str, &str); 40] = [
    ("lat", "latitude"),
    ("lon", "longitude"),
    ("lng", "longitude"),
    ("long", "longitude"),
    ("sites", "site"),
    ("places", "place"),
    ("regions", "region"),
    ("providers", "provider"),
    ("hosts", "hostname"),
    ("hosts", "hostnames"),
    ("hostnames", "hostname"),
    ("classes", "class"),
    ("probes", "probe"),
    ("health_check", "probe"),
    ("code", "name"),
    ("hostname", "name"),
    ("fallbacks", "fallback"),
    ("primaries", "regions"),
    ("policy", "steering"),
    ("backends", "endpoints"),
    ("targets", "endpoints"),
    ("upstreams", "endpoints"),
    ("urls", "endpoints"),
    ("address", "addresses"),
    ("max_concurrent", "capacity"),
    ("retries", "attempts"),
    ("healthy_threshold", "rise"),
    ("unhealthy_threshold", "fall"),
    ("methods", "safe"),
    ("private_links", "private_link"),
    ("cloud", "provider"),
    ("max_connection_age", "connection_max_age"),
    ("records", "record"),
    ("name_servers", "nameservers"),
    ("ns", "nameservers"),
    ("email", "hostmaster"),
    ("email", "contact"),
    ("minimum", "negative_ttl"),
    ("data", "value"),
    ("domains", "names"),
];

/// What should stand instead of the unknown key `name` in a table that has the keys `known`: what is said at the key,
/// and what would be right.
#[must_use]
pub fn instead_of(name: &str, known: &[&str]) -> (String, String) {
    if let Some((_, new)) = RENAMED.iter().find(|(old, new)| *old == name && known.contains(new)) {
        return (format!("is called {new}"), format!("write {new} instead of {name}"));
    }
    if let Some(meant) = nearest(name, known.iter().copied()) {
        return (format!("perhaps {meant}"), format!("did you mean {meant}?"));
    }
    // Other files are made of tables too: what is a key of this one is none of theirs.
    let is_ours = TABLES.iter().any(|(_, keys)| *keys == known);
    let homes: Vec<&str> =
        TABLES.iter().filter(|_| is_ours).filter(|(_, keys)| keys.contains(&name)).map(|(header, _)| *header).collect();
    if !homes.is_empty() {
        return ("belongs elsewhere".to_owned(), format!("{} is a key of {}", quoted(name), homes.join(" and ")));
    }
    ("not known here".to_owned(), format!("the keys here are {}", known.join(", ")))
}

/// The JSON schema of the file (draft 2020-12), with which editors complete and explain it.
#[must_use]
pub fn schema() -> Json {
    let mut schema = File::schema();
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("anyfront regions.toml");
    schema
}
