//! Every bound a stranger can press against, with its unit and its reason. Each is pressed one past the edge by a test.

use std::time::Duration;

/// Facts folded into one snapshot at most: a flood of failures must not starve the clock.
pub const EVENT_BATCH_MAX: usize = 256;
/// Facts waiting for `control` at most; beyond it they are dropped and counted, the next ones will say the same.
pub const EVENT_QUEUE_MAX: usize = 4_096;

/// Header fields in a request, trailers apart: past what any honest client sends, and before hashing them hurts.
pub const HEADER_FIELDS_MAX: usize = 100;
/// All header lines of a request together, octets.
pub const HEADER_BYTES_MAX: usize = 16 << 10;
/// One header line of a request, octets, and its request line.
pub const HEADER_LINE_BYTES_MAX: usize = 8 << 10;
/// Header fields in a region's answer: regions are ours, but a bug there must not fell us.
pub const ANSWER_HEADER_FIELDS_MAX: usize = 256;
/// A whole request head must arrive within this (slowloris).
pub const HEADER_TIMEOUT: Duration = Duration::from_secs(10);
/// A TLS handshake must be done within this.
pub const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// TLS handshakes under way at one worker; beyond it the one that has waited longest makes room: a full queue of clients
/// that say nothing keeps nobody out.
pub const HANDSHAKES_MAX: usize = 2_048;
/// TLS handshakes under way at one worker for one client prefix (/24, /48): half, so that no source fills the queue.
pub const HANDSHAKES_PER_PREFIX_MAX: usize = HANDSHAKES_MAX / 2;
/// A client's certificate and its chain, octets: they go into fields of the request (RFC 9440), where a third is added.
pub const CLIENT_CERTIFICATES_BYTES_MAX: usize = 12 << 10;
/// Longest PROXY header, octets: what fits into the smallest segment, so that it comes in one piece. Private links need 60.
pub const PROXY_HEADER_BYTES_MAX: usize = 536;
/// A PROXY header must be there within this: a balancer sends it with the connection.
pub const PROXY_HEADER_TIMEOUT: Duration = Duration::from_secs(1);
/// A client that is still sending when it has been refused is heard out for so long: closing at once would destroy the
/// answer on its way (RFC 9112 §9.6).
pub const LINGER_MAX: Duration = Duration::from_secs(5);
/// An idle connection between requests is kept this long: longer than common client pools keep theirs.
pub const KEEP_ALIVE_IDLE: Duration = Duration::from_secs(75);
/// What a client is told to go keeps for requests that are on their way: only then is its idle connection closed.
pub const FAREWELL: Duration = Duration::from_secs(1);
/// A body may be slow at first; from this on it has to come at [`BODY_RATE_MIN`].
pub const BODY_GRACE: Duration = Duration::from_secs(5);
/// What is for the node itself must have come whole within this: it is short.
pub const SERVICE_BODY_TIMEOUT: Duration = Duration::from_secs(5);
/// Slowest body accepted, octets a second on average since it began.
pub const BODY_RATE_MIN: u64 = 1 << 10;
/// A client that takes nothing of what is ready for it is given up after this.
pub const WRITE_STALL_MAX: Duration = Duration::from_secs(30);
/// What one connection may hold in its read or write buffer, octets.
pub const CONNECTION_BUFFER_BYTES_MAX: usize = 64 << 10;
/// What one stream may hold between region and client, octets: back-pressure beyond.
pub const STREAM_BUFFER_BYTES_MAX: usize = 64 << 10;
/// How long an event may get, octets, whose beginning waits for its end; a longer one is passed on in pieces.
pub const HELD_EVENT_BYTES_MAX: usize = 64 << 10;
/// What one request may keep for repetition, octets; beyond it the request goes on but cannot be repeated.
pub const REPLAY_REQUEST_BYTES_MAX: usize = 256 << 10;
/// What all requests of a process may keep for repetition, octets.
pub const REPLAY_PROCESS_BYTES_MAX: u64 = 64 << 20;
/// Longest session id of an MCP server that is sealed, octets. The specification's examples have 36; a longer one is
/// passed on as it is.
pub const MCP_SESSION_ID_BYTES_MAX: usize = 1 << 10;
/// Longest token of ours that is opened, octets: a session id with its region, sealed and written in base64.
pub const SEALED_TOKEN_BYTES_MAX: usize = 2 << 10;
/// Cookies of ours that are opened in one request: a client has one, and each costs some microseconds.
pub const PINS_OPENED_MAX: usize = 4;
/// Longest JSON-RPC body that is looked into, octets: calls that only read are short, and parsing costs time.
pub const MCP_CALL_BYTES_MAX: usize = 64 << 10;
/// Longest id of a JSON-RPC call that is repeated in an answer of ours, octets.
pub const MCP_CALL_ID_BYTES_MAX: usize = 256;
/// How long an answer of ours waits for the body of the call it answers, which has its id.
pub const MCP_CALL_WAIT: Duration = Duration::from_millis(100);
/// Of a region's reason for not serving, so much is passed on, octets: it goes into a header of every such answer.
pub const UNSERVED_REASON_BYTES_MAX: usize = 64;
/// Shortest patience of a client that is believed: no answer comes from anywhere in less.
pub const PATIENCE_MIN: Duration = Duration::from_millis(10);
/// Longest patience of a client that is believed: beyond a day it is a mistake, not patience.
pub const PATIENCE_MAX: Duration = Duration::from_secs(86_400);
/// Our own answer comes at most so much earlier than its client would give up.
pub const PATIENCE_MARGIN_MAX: Duration = Duration::from_secs(1);
/// How long it is remembered which region failed a client: SDKs try again within seconds.
pub const RECALL_LASTS: Duration = Duration::from_secs(60);
/// Sets of that memory: a client's network decides which one is its own. With [`RECALL_WAYS`] some 2 MiB at most.
pub const RECALL_SETS: usize = 1_024;
/// Entries in one set: clients of one network that failed within a minute; beyond it the oldest is overwritten.
pub const RECALL_WAYS: usize = 64;
/// Budgets for repetition, one for each hostname at each region it has met: more than any fleet has in use.
pub const BUDGETS_MAX: usize = 16_384;
/// Connections open at one node; beyond it new ones are closed at once.
pub const CONNECTIONS_MAX: u32 = 60_000;
/// Concurrent streams on one HTTP/2 connection.
pub const STREAMS_PER_CONNECTION_MAX: u32 = 100;
/// Streams a client may reset before we accepted them (rapid reset).
pub const STREAMS_PENDING_RESET_MAX: usize = 20;
/// Streams of one HTTP/2 connection that a client may reset, or make us reset, within [`RESETS_WITHIN`]: each is work
/// that nobody wants. A person who stops ten answers a second is none.
pub const RESETS_MAX: u32 = 100;
/// See [`RESETS_MAX`].
pub const RESETS_WITHIN: Duration = Duration::from_secs(10);
/// HTTP/2 frames at once that carry nothing of a request: settings, pings, priorities, window updates, empty data and
/// unknown ones. What we send earns more of them, so that no reader is too quick.
pub const CONTROL_FRAMES_BURST_MAX: u32 = 1_000;
/// And so many more in each second.
pub const CONTROL_FRAMES_PER_SECOND: u32 = 100;
/// How long altogether a client may leave no room for an answer that has begun before its stream is reset; what it takes
/// at [`BODY_RATE_MIN`] makes up for it. The time for which a thousand streams may hold what they have for nobody.
pub const WINDOW_STALL_MAX: Duration = Duration::from_secs(10);
/// Streams of one HTTP/2 connection at once with less than [`NARROW_WINDOW_BYTES`] of room for an answer since they were
/// opened: every client that means to read gives 16 KiB and more.
pub const NARROW_STREAMS_MAX: usize = 8;
/// See [`NARROW_STREAMS_MAX`]; octets.
pub const NARROW_WINDOW_BYTES: i64 = 16 << 10;
/// Answers on HTTP/2 connections of a process that may wait for their clients at once, for want of room or because the
/// connection takes nothing: each may hold 256 KiB, so 256 MiB. Beyond it those that have waited longest are ended, on
/// connections that have more than [`WAITING_ON_CONNECTION_FEW`].
pub const WAITING_ANSWERS_MAX: u64 = 1_024;
/// See [`WAITING_ANSWERS_MAX`]: whoever is slow for once has no more than so many at once.
pub const WAITING_ON_CONNECTION_FEW: usize = 8;
/// An answer waits for its client, for [`WAITING_ANSWERS_MAX`], once it has for so long: no round trip takes longer.
pub const WAITING_AFTER: Duration = Duration::from_secs(1);
/// Streams of one HTTP/2 connection that are watched: those that may be open, and as many more as may be refused in one
/// turn before the client hears of the first.
pub const STREAMS_WATCHED_MAX: usize = 4 * STREAMS_PER_CONNECTION_MAX as usize;

/// How long both ends of a WebSocket have for the closing handshake: a round trip around the earth and time to spare.
pub const WEBSOCKET_CLOSING_MAX: Duration = Duration::from_secs(2);
/// WebSockets that are still open so long before the end of the grace period are told to close: long enough for all of them
/// to do so.
pub const WEBSOCKET_FAREWELL: Duration = Duration::from_secs(3);

/// Connections of DNS over TCP open at one node, and as many of DNS over TLS; beyond it the one that was quiet longest makes
/// room. Each may hold a message of 64 KiB that is not whole yet, so 256 MiB.
pub const DNS_STREAMS_MAX: usize = 4_096;
/// Connections of DNS of one source (an IPv4 address, a /56) open at one node, in each of both ways: a resolver needs one or
/// two (RFC 7766 §6.2.2), and many may share an address.
pub const DNS_STREAMS_PER_SOURCE_MAX: usize = 128;
/// A connection of DNS without a question is closed after this (RFC 7766 §6.2.3); those who ask are told so (RFC 7828).
pub const DNS_STREAM_IDLE: Duration = Duration::from_secs(10);
/// Longest message of DNS, octets, by all ways that have room for it (RFC 1035 §4.2.2).
pub const DNS_MESSAGE_BYTES_MAX: usize = 65_535;
/// A message must have come whole within this once it has begun.
pub const DNS_MESSAGE_TIMEOUT: Duration = Duration::from_secs(5);
/// Questions of one connection that are answered before the answers are written and others get their turn.
pub const DNS_PIPELINED_MAX: usize = 32;
/// Answers must have been taken within this: they are some 80 KiB at most.
pub const DNS_WRITE_STALL_MAX: Duration = Duration::from_secs(5);
/// What a client of DNS has for its last message and for closing, once the connection is to end.
pub const DNS_FAREWELL: Duration = Duration::from_secs(1);

/// Idle connections kept to one endpoint by one worker.
pub const POOL_IDLE_MAX: usize = 1_024;
/// How long an idle connection to an endpoint is kept: below what common gateways keep.
pub const POOL_IDLE: Duration = Duration::from_secs(30);
/// How long a connection to an endpoint is used, a fifth more or less: then it is opened anew, so that those behind the
/// endpoint's address share the work as they come and go.
pub const POOL_AGE_MAX: Duration = Duration::from_secs(600);
/// Requests at once on one HTTP/2 connection to an endpoint.
pub const UPSTREAM_STREAMS_MAX: usize = 100;
/// What one connection to an endpoint may hold in its read or write buffer, octets.
pub const UPSTREAM_BUFFER_BYTES_MAX: usize = 64 << 10;
/// Data we sent and nobody acknowledged for this long ends a connection to an endpoint.
pub const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(15);

/// Longest answer over UDP, octets: fits every path without fragments (RFC 9715, DNS flag day 2020).
pub const DNS_UDP_RESPONSE_BYTES_MAX: usize = 1_232;
/// Longest question over UDP that is read, octets: resolvers' are below 300, padded ones a little longer.
pub const DNS_UDP_QUESTION_BYTES_MAX: usize = 2_048;
/// Datagrams taken and answered at once by one worker.
pub const DNS_UDP_BATCH_MAX: usize = 64;
/// Addresses of one family in one answer that steering made. Eight of both with their signatures fit a datagram.
pub const DNS_ADDRESSES_MAX: usize = 8;
/// Signatures a second that one worker makes for names that do not exist, 40 µs each: a tenth of a core. Beyond it the
/// denial is one that was signed before.
pub const DNS_SIGNATURES_PER_SECOND: u32 = 2_000;
/// Messages that wait to be logged by dnstap; more are dropped and counted. A tenth of a second at 40 000 questions a second.
pub const DNSTAP_QUEUE_MAX: usize = 8_192;
/// Octets of messages that wait to be logged, all together; what comes then is dropped, after the one that went past it.
pub const DNSTAP_QUEUE_BYTES_MAX: usize = 4 << 20;
/// Messages that are written by one call of the system.
pub const DNSTAP_BATCH_MAX: usize = 256;
/// Longest file of dnstap, octets: logging into a file is for a closer look, and must not fill a disk.
pub const DNSTAP_FILE_BYTES_MAX: u64 = 1 << 30;
/// Signatures of so long a time at once: what comes in one batch of datagrams is answered alike.
pub const DNS_SIGNATURES_BURST: Duration = Duration::from_millis(100);
/// Answers of so long a time at once, for each source and kind: caches empty together.
pub const DNS_LIMIT_BURST: Duration = Duration::from_secs(1);
/// Sources and kinds of answers that one worker counts, a power of two: 192 KiB, which stays in a core's cache. Those who ask
/// most are remembered, and so many floods past the limit at once would be 1.6 million datagrams a second.
pub const DNS_LIMIT_BUCKETS: usize = 8_192;

/// What a probe reads of an answer, octets.
pub const PROBE_BODY_BYTES_MAX: usize = 64 << 10;
/// What a probe reads of a stream of events, octets; one event is at most [`PROBE_BODY_BYTES_MAX`].
pub const PROBE_STREAM_BYTES_MAX: usize = 1 << 20;
/// Probes of one kind of one endpoint under way at once: overlapping probes while in doubt, and no more.
pub const PROBES_IN_FLIGHT_MAX: usize = 8;

/// What the admin listener reads of a request, octets.
pub const ADMIN_BODY_BYTES_MAX: usize = 16 << 10;
/// Connections to the public addresses of the status page at once; beyond it they are closed. A page takes two, for a second.
pub const STATUS_CONNECTIONS_MAX: usize = 2_048;
/// And so many from one network (/24, /48), where no proxy can stand: an eighth, so that no source takes all.
pub const STATUS_CONNECTIONS_PER_PREFIX_MAX: usize = STATUS_CONNECTIONS_MAX / 8;
/// Readers who follow the status page at once; the others ask for it every 15 s. Each costs a connection and some KiB.
pub const STATUS_LISTENERS_MAX: usize = 1_024;
/// And so many of one network: an office behind one address, and no more.
pub const STATUS_LISTENERS_PER_PREFIX_MAX: usize = 128;
/// News that a reader may be behind; whoever misses more is told to ask for the page anew.
pub const STATUS_NEWS_MAX: usize = 16;
/// How long a reader may follow on one connection; browsers come back by themselves.
pub const STATUS_EVENTS_LAST: Duration = Duration::from_secs(600);
/// Longest form that is read, octets: every region of the largest fleet chosen by itself.
pub const STATUS_FORM_BYTES_MAX: usize = 64 << 10;
/// Fields of a form that are looked at: as many as there can be regions and hostnames, and a few.
pub const STATUS_FORM_FIELDS_MAX: usize = REGIONS_MAX + HOSTNAMES_MAX + 16;
/// Drains in force at once.
pub const OVERRIDES_MAX: usize = 1_024;
/// Flows by which headroom is computed, clients of one place for one hostname at one region each; beyond it the smallest are
/// left out. Steering places each of them twice, in some 10 µs.
pub const HEADROOM_FLOWS_MAX: usize = 2_048;
/// Requests that one worker remembers with their decisions: some 100 KiB.
pub const DECISIONS_MAX: usize = 256;
/// The same of those that nothing was steered for: refused, or answered by the node itself. Apart from the others, whom a
/// flood of nonsense must not have forgotten.
pub const UNSTEERED_MAX: usize = 64;
/// Requests whose lines wait to be written into the access log; beyond it they are dropped and counted. A fifth of a second
/// at 40 000 requests a second, some 8 MiB.
pub const ACCESS_LOG_QUEUE_MAX: usize = 8_192;
/// Requests whose spans wait for the collector; beyond it they are dropped and counted. As many as the specification of
/// OpenTelemetry has for it.
pub const SPANS_QUEUE_MAX: usize = 2_048;
/// Longest line of the access log, octets: what is longer has its path cut. Below what log shippers and `syslog` take.
pub const ACCESS_LOG_LINE_BYTES_MAX: usize = 4 << 10;
/// Attempts that one line of the access log tells of; more are only counted.
pub const ACCESS_LOG_ATTEMPTS_MAX: usize = 8;
/// Snapshots kept for the replay of decisions, the newest that decided something: 1 KiB each for 14 regions, 70 KiB for
/// 1 024.
pub const DECIDED_SNAPSHOTS_MAX: usize = 64;
/// Versions of the file that they may keep in memory: the one in force and the one before.
pub const DECIDED_TOPOLOGIES_MAX: usize = 2;
/// Hostnames at regions in classes that one worker counts apart: more than any fleet has in use, and some 4 MiB. What comes
/// then is counted as one.
pub const TRAFFIC_CELLS_MAX: usize = 8_192;
/// Pairs of country and region that one worker counts over the last minute: all countries at 16 regions, half a MiB. Those
/// that nobody goes make room; what comes then is not shown.
pub const FLOWS_MAX: usize = 4_096;

/// Longest `regions.toml`, octets. The real fleet needs 8 KiB; 1 024 regions with everything said need 600 KiB.
pub const TOPOLOGY_BYTES_MAX: usize = 1 << 20;
/// Most mistakes told at once: nobody mends more in one go, and each costs a drawing.
pub const MISTAKES_MAX: usize = 100;
/// Most sites: one row in every report, and no anycast network has so many.
pub const SITES_MAX: usize = 256;
/// Most regions: steering ranks all of them for each request, which takes some 200 µs.
pub const REGIONS_MAX: usize = 1_024;
/// Most endpoints of a region: with [`REGIONS_MAX`] regions they still fit an index of 16 bits.
pub const ENDPOINTS_PER_REGION_MAX: usize = 32;
/// Most networks that one region calls out from.
pub const NAT_IPS_PER_REGION_MAX: usize = 256;
/// Most written hostnames: with the regional ones they fit an index of 16 bits.
pub const HOSTNAMES_MAX: usize = 1_024;
/// Most classes: each request walks them in order.
pub const CLASSES_MAX: usize = 256;
/// Most overrides of where clients are: a table looked through before the database.
pub const GEO_PLACES_MAX: usize = 4_096;
/// Most private links that are known: a table looked into for each connection that came by one.
pub const PRIVATE_LINKS_MAX: usize = 4_096;
/// Most records that the file puts into the zone: each RRset is signed when a generation is prepared, in some 40 µs a key.
pub const ZONE_RECORDS_MAX: usize = 1_024;
/// Most name servers of the zone: the root has as many, and with their addresses they fit into one datagram.
pub const NAMESERVERS_MAX: usize = 13;
/// Most names of a certificate that is got by ACME: as many as common authorities sign.
pub const CERTIFICATE_NAMES_MAX: usize = 100;
/// Longest time for which it may be believed that a name does not exist: what is new should be found within it.
pub const NEGATIVE_TTL_MAX: Duration = Duration::from_secs(60);
/// Longest answer that a datagram carries anywhere in one piece, octets (DNS flag day 2020).
pub const DNS_DATAGRAM_BYTES_MAX: usize = 1_232;
/// Most elements of any other list in the file: addresses, proxies, methods, status ranges.
pub const LIST_MAX: usize = 1_024;
/// Longest duration the file may ask for: beyond a day a time limit is none.
pub const DURATION_MAX: Duration = Duration::from_secs(86_400);
/// Shortest time between probes of one endpoint: more would be an attack on it.
pub const PROBE_INTERVAL_MIN: Duration = Duration::from_millis(10);
/// Largest file of certificate authorities, octets. All public ones together take 250 KiB.
pub const TRUST_FILE_BYTES_MAX: u64 = 4 << 20;
/// Largest file with what a probe says in `Authorization`, octets: as long as a header line may be.
pub const AUTHORIZATION_FILE_BYTES_MAX: u64 = 8 << 10;
/// What is read of one answer of an ACME directory, octets: the longest chains take 16 KiB.
pub const ACME_ANSWER_BYTES_MAX: usize = 256 << 10;
/// Longest address that a mail may go to or come from, octets (RFC 5321 §4.5.3.1.3, less the angle brackets).
pub const MAIL_ADDRESS_BYTES_MAX: usize = 254;
/// Subscriptions at once: each update is written once for each, in one go that takes a second for so many.
pub const SUBSCRIBERS_MAX: usize = 20_000;
/// Subscriptions among them that wait to be confirmed; when there are more, the one that waited longest waits no more.
pub const SUBSCRIBERS_PENDING_MAX: usize = 2_000;
/// How long a subscription waits to be confirmed.
pub const SUBSCRIBER_PENDING_MAX: Duration = Duration::from_secs(24 * 3_600);
/// Regions and hostnames that one subscription may name; who wants more wants everything.
pub const SUBSCRIPTION_SCOPES_MAX: usize = 64;
/// What one /24 or /48 may ask of subscriptions in [`SUBSCRIBING_PERIOD`]: so often to be told, and so often for a test.
pub const SUBSCRIBING_PER_PREFIX_MAX: u32 = 20;
/// Over which time that is counted.
pub const SUBSCRIBING_PERIOD: Duration = Duration::from_secs(3_600);
/// Networks that are counted at once; when there are more, those who asked longest ago are forgotten.
pub const SUBSCRIBING_PREFIXES_MAX: usize = 4_096;
/// No address gets another mail that asks whether it wants mails before this, whoever asks for it: after the first such mail,
/// after the second, and after each one from then on.
pub const CONFIRMATION_PERIODS: [Duration; 3] =
    [Duration::from_secs(3_600), Duration::from_secs(6 * 3_600), Duration::from_secs(24 * 3_600)];
/// For so long after the last one it is remembered how often an address was asked.
pub const CONFIRMATIONS_REMEMBERED: Duration = Duration::from_secs(7 * 86_400);
/// Mails that ask, to everybody together, in the first of [`CONFIRMATION_PERIODS`]: a page whose readers come all at once has
/// some hundred; who wants more wants to fill the mailboxes of others.
pub const CONFIRMATIONS_MAX: usize = 300;
/// Messages that one subscription gets in [`MESSAGES_PERIOD`]; what comes beyond is gathered into one. Ten incidents with three
/// updates each: whoever gets more reads none.
pub const MESSAGES_PER_SUBSCRIPTION_MAX: usize = 30;
/// Over which time that is counted.
pub const MESSAGES_PERIOD: Duration = Duration::from_secs(3_600);
/// Updates gathered into one message.
pub const MESSAGE_UPDATES_MAX: usize = 100;
/// Longest URL of a webhook, octets.
pub const WEBHOOK_URL_BYTES_MAX: usize = 2_048;
/// What is read of a webhook's answer, octets: only its status matters.
pub const WEBHOOK_ANSWER_BYTES_MAX: usize = 64 << 10;
/// What a webhook has for everything, from the look at its name to its answer's end.
pub const WEBHOOK_TIME_MAX: Duration = Duration::from_secs(5);
/// Webhooks called at once: that many which do not answer hold up nobody else.
pub const WEBHOOKS_AT_ONCE_MAX: usize = 64;
/// Connections to the mail server at once.
pub const MAILS_AT_ONCE_MAX: usize = 4;
/// What the mail server has for one answer.
pub const MAIL_ANSWER_MAX: Duration = Duration::from_secs(20);
/// Largest country or city database, octets. The largest city databases take 150 MiB.
pub const GEO_DATABASE_BYTES_MAX: u64 = 1 << 30;
