//! THE SHAPE OF THE CODE: floors, doors, who may touch what, and how much fits into one sitting.
//!
//! Each rule is a function from sources to complaints, so each is also shown able to fail on a small sample. A complaint
//! says where, and what to do instead.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// Modules between which there is no road: `node` joins them.
const DOORS: &[&str] = &["agent", "probe", "dns", "front", "acme", "fleet", "anycast", "status"];

/// What a file may name only if it is listed, and where it is listed. A folder ends in `/`. Tests are free.
const GATES: &[Gate] = &[
    Gate {
        what: "a socket",
        words: &["tokio::net", "TcpListener", "TcpStream", "UdpSocket", "UnixStream", "UnixListener", "socket2::"],
        allowed: &[
            "src/accept.rs",
            "src/acme/look.rs",
            "src/cli/",
            "src/dns/tap.rs",
            "src/dns/tcp.rs",
            "src/dns/udp.rs",
            "src/fetch.rs",
            "src/front/",
            "src/lab/",
            "src/node.rs",
            "src/node/",
            "src/probe/check.rs",
            "src/status/",
            "src/upstream/dial.rs",
            "src/upstream/mod.rs",
            "src/upstream/pool.rs",
            "src/upstream/wire.rs",
        ],
    },
    Gate {
        what: "a file",
        words: &["std::fs", "tokio::fs", "fs::read", "fs::write", "File::open", "File::create", "OpenOptions"],
        allowed: &[
            "src/access_log.rs",
            "src/acme/store.rs",
            "src/acme/store/",
            "src/cli/",
            "src/dns/tap.rs",
            "src/dnssec/folder.rs",
            "src/geo/",
            "src/history/seal.rs",
            "src/history/store.rs",
            "src/history/store/",
            "src/lab/",
            "src/node.rs",
            "src/node/",
            "src/reload.rs",
            "src/reload/",
            "src/status/",
            "src/tls/certificates.rs",
            "src/tls/pair.rs",
            "src/topology/check/files.rs",
        ],
    },
    Gate {
        what: "TLS",
        words: &["rustls::", "tokio_rustls"],
        allowed: &[
            "src/fetch.rs",
            "src/front/",
            "src/lab/",
            "src/node.rs",
            "src/node/",
            "src/tls/",
            "src/upstream/dial.rs",
        ],
    },
    Gate { what: "anyhow", words: &["anyhow"], allowed: &["src/cli/", "src/main.rs"] },
];

/// Machines: facts in, actions out. A file or a folder; it need not exist yet.
const MACHINES: &[&str] = &[
    "src/counters/trace.rs",
    "src/spans/message.rs",
    "src/spans/settings.rs",
    "src/access_log/line.rs",
    "src/acme/schedule.rs",
    "src/acme/schedule/",
    "src/client.rs",
    "src/control/known.rs",
    "src/control/rates.rs",
    "src/control/states.rs",
    "src/dns/answer.rs",
    "src/dns/asker.rs",
    "src/dns/bare.rs",
    "src/dns/contents.rs",
    "src/dns/cookie.rs",
    "src/dns/crowd.rs",
    "src/dns/doh.rs",
    "src/dns/explain.rs",
    "src/dns/explain/",
    "src/dns/limit.rs",
    "src/dns/limit/",
    "src/dns/tap/frame.rs",
    "src/dns/prepared.rs",
    "src/dns/question.rs",
    "src/dns/steered.rs",
    "src/dns/wire.rs",
    "src/dnssec/canonical.rs",
    "src/dnssec/key.rs",
    "src/dnssec/life.rs",
    "src/dnssec/outlook.rs",
    "src/dnssec/record.rs",
    "src/dnssec/roles.rs",
    "src/dnssec/steps.rs",
    "src/dnssec/timing.rs",
    "src/front/affinity.rs",
    "src/front/affinity/",
    "src/front/budget.rs",
    "src/front/course.rs",
    "src/front/course/",
    "src/front/events.rs",
    "src/front/failover.rs",
    "src/front/follow.rs",
    "src/front/frames.rs",
    "src/front/framing.rs",
    "src/front/grpc.rs",
    "src/front/headers.rs",
    "src/front/journey.rs",
    "src/front/proxy.rs",
    "src/front/mcp.rs",
    "src/front/services.rs",
    "src/front/patience.rs",
    "src/front/recall.rs",
    "src/front/strict.rs",
    "src/front/terms.rs",
    "src/front/unserved.rs",
    "src/front/websocket.rs",
    "src/geo/build.rs",
    "src/geo/countries.rs",
    "src/geo/map.rs",
    "src/geo/map/",
    "src/geo/overrides.rs",
    "src/geo/place.rs",
    "src/geo/record.rs",
    "src/headroom/",
    "src/health/",
    "src/history/incidents.rs",
    "src/history/incidents/",
    "src/history/levels.rs",
    "src/history/recorder.rs",
    "src/history/recorder/",
    "src/history/report.rs",
    "src/history/sketch.rs",
    "src/history/store/trouble.rs",
    "src/history/story.rs",
    "src/subscriptions/address.rs",
    "src/subscriptions/crowd.rs",
    "src/subscriptions/fence.rs",
    "src/subscriptions/hook.rs",
    "src/subscriptions/news.rs",
    "src/subscriptions/outbox.rs",
    "src/subscriptions/pace.rs",
    "src/subscriptions/scope.rs",
    "src/subscriptions/table.rs",
    "src/limits.rs",
    "src/load.rs",
    "src/load/",
    "src/names.rs",
    "src/nat/",
    "src/probe/flow.rs",
    "src/probe/rounds.rs",
    "src/probe/schedule.rs",
    "src/probe/schedule/",
    "src/residency/",
    "src/secret.rs",
    "src/sse.rs",
    "src/status/api.rs",
    "src/status/badge.rs",
    "src/status/feed.rs",
    "src/status/page/",
    "src/status/rendering.rs",
    "src/steering/",
    "src/tls/ocsp.rs",
    "src/topology/",
    "src/upstream/balance.rs",
];

/// What no machine names.
const NOT_IN_MACHINES: &[(&str, &str)] = &[
    ("tokio::", "machines do not run: move this into the shell that drives the machine"),
    ("async fn", "machines do not wait: return what is to be done and let the shell do it"),
    (".await", "machines do not wait: return what is to be done and let the shell do it"),
    ("Instant", "time is an argument: take now: Moment"),
    ("SystemTime", "time is an argument: take now: Moment, or the wall clock as a Duration"),
    ("Clock", "only shells read the clock: take now: Moment"),
    ("tracing::", "machines do not log: return what happened"),
];

/// What stands nowhere in `src`.
const NOWHERE: &[(&str, &str)] = &[
    ("todo!(", "finish it, or leave it out"),
    ("unimplemented!(", "finish it, or leave it out"),
    ("FIXME", "fix it now: there is no later"),
    ("TODO", "do it now, or leave it out"),
    ("XXX", "say what is meant"),
    ("dbg!(", "remove it"),
    ("unsafe {", "there is a safe way, or a library that has it"),
    ("unbounded_channel", "every queue has a bound"),
    ("thread::sleep", "wait for a condition, with a bound"),
    ("lazy_static", "no global state"),
    ("static mut", "no global state"),
];

/// Most lines of a file, with its tests, that are read in one sitting.
const FILE_LINES_MAX: usize = 500;
/// Most lines of a function.
const FUNCTION_LINES_MAX: usize = 70;
/// Files that outgrew [`FILE_LINES_MAX`]: how long they may be, and why. Shrink a file and its number must follow.
const LONG_FILES: &[(&str, usize, &str)] = &[];
/// Functions that outgrew [`FUNCTION_LINES_MAX`], as `file::function`.
const LONG_FUNCTIONS: &[(&str, usize, &str)] = &[];
/// How far below its number something long may be before the number must follow.
const SLACK_LINES: usize = 25;

struct Gate {
    what: &'static str,
    words: &'static [&'static str],
    allowed: &'static [&'static str],
}

/// One source file: its path from the root, and its text.
struct Source {
    path: String,
    text: String,
}

impl Source {
    fn new(path: &str, text: &str) -> Self {
        Self { path: path.to_owned(), text: text.to_owned() }
    }

    /// The top-level module it belongs to; `None` for the roots `lib.rs` and `main.rs`.
    fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        let module = below.split('/').next()?.trim_end_matches(".rs");
        (!matches!(module, "lib" | "main")).then_some(module)
    }

    /// Its lines with their numbers, without comments, text in quotes and the tests at its foot.
    fn code(&self) -> Vec<(usize, String)> {
        let mut lines = Vec::new();
        let mut is_test_next = false;
        for (at, line) in self.text.lines().enumerate() {
            if is_test_next && line.starts_with("mod ") && line.ends_with('{') {
                break;
            }
            is_test_next = line.trim_end() == "#[cfg(test)]";
            lines.push((at + 1, without_words(line)));
        }
        lines
    }

    fn is_below(&self, places: &[&str]) -> bool {
        places.iter().any(|place| if place.ends_with('/') { self.path.starts_with(place) } else { self.path == *place })
    }

    fn complaint(&self, line: usize, text: impl AsRef<str>) -> String {
        format!("{}:{line}: {}", self.path, text.as_ref())
    }
}

/// A line of code without its comment and with what is in quotes emptied.
fn without_words(line: &str) -> String {
    let mut code = String::new();
    let mut chars = line.chars().peekable();
    let mut is_quoted = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' if is_quoted => drop(chars.next()),
            '\'' if !is_quoted && chars.peek() == Some(&'"') => code.push(c),
            '"' if !code.ends_with('\'') => {
                is_quoted = !is_quoted;
                code.push(c);
            }
            '/' if !is_quoted && chars.peek() == Some(&'/') => break,
            _ if !is_quoted => code.push(c),
            _ => {}
        }
    }
    code
}

/// The modules in floor order, lowest first, as `lib.rs` declares them.
fn floors(library: &str) -> Vec<String> {
    let declared = library.lines().filter_map(|line| line.trim().strip_prefix("pub mod ")?.strip_suffix(';'));
    declared.map(str::to_owned).collect()
}

/// The top-level modules that a line of code mentions by `crate::`.
fn mentioned(code: &str) -> Vec<String> {
    let mut modules = Vec::new();
    for (at, _) in code.match_indices("crate::") {
        let is_whole = !code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_');
        let rest = &code[at + "crate::".len()..];
        let names: Vec<&str> = match rest.strip_prefix('{') {
            // `use crate::{a, b}` is refused elsewhere, but is read all the same.
            Some(list) => list.split([',', '}']).map(str::trim).collect(),
            None => vec![rest],
        };
        for name in names.into_iter().filter(|_| is_whole) {
            let end = name.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(name.len());
            if end > 0 {
                modules.push(name[..end].to_owned());
            }
        }
    }
    modules
}

fn floors_hold(sources: &[Source], floors: &[String]) -> Vec<String> {
    let floor = |module: &str| floors.iter().position(|floor| floor == module);
    let mut complaints = Vec::new();
    for source in sources {
        let Some(module) = source.module() else { continue };
        let Some(own) = floor(module) else {
            complaints.push(source.complaint(1, format!("module {module} is not declared in src/lib.rs")));
            continue;
        };
        for (line, code) in source.code() {
            for other in mentioned(&code) {
                let is_door = |name: &str| DOORS.contains(&name);
                match floor(&other) {
                    Some(floor) if floor > own => complaints.push(source.complaint(
                        line,
                        format!(
                            "{module} uses {other}, which is above it: move what is shared below {module}, \
                             or let {other} hand it down"
                        ),
                    )),
                    Some(_) if other != module && is_door(module) && is_door(&other) => complaints.push(
                        source.complaint(line, format!("{module} and {other} are doors: let node join them instead")),
                    ),
                    _ => {}
                }
                if code.contains("crate::{") {
                    complaints.push(source.complaint(line, "write one `use crate::module::Thing;` for each parent"));
                }
            }
        }
    }
    complaints
}

fn gates_hold(sources: &[Source]) -> Vec<String> {
    let mut complaints = Vec::new();
    for source in sources {
        for gate in GATES.iter().filter(|gate| !source.is_below(gate.allowed)) {
            for (line, code) in source.code() {
                if let Some(word) = gate.words.iter().find(|word| code.contains(*word)) {
                    let text = format!(
                        "{word} is {}: only {} may name one (if this file should, add it to GATES in tests/tidy.rs)",
                        gate.what,
                        gate.allowed.join(", ")
                    );
                    complaints.push(source.complaint(line, text));
                }
            }
        }
    }
    complaints
}

fn machines_are_pure(sources: &[Source]) -> Vec<String> {
    let machines = sources.iter().filter(|source| source.is_below(MACHINES));
    machines.flat_map(|source| forbidden(source, NOT_IN_MACHINES)).collect()
}

fn nothing_unfinished(sources: &[Source]) -> Vec<String> {
    let mut complaints: Vec<String> = sources.iter().flat_map(|source| forbidden(source, NOWHERE)).collect();
    for source in sources {
        for (line, code) in source.code() {
            if code.contains(".unwrap()") {
                complaints.push(source.complaint(line, "no unwrap: say in expect(…) why it cannot fail, or return it"));
            }
        }
        for (at, line) in source.text.lines().enumerate().filter(|(_, line)| names_an_issue(line)) {
            let text = format!("names an issue, which nobody will find later: say why instead: {}", line.trim());
            complaints.push(source.complaint(at + 1, text));
        }
    }
    complaints
}

fn forbidden(source: &Source, words: &[(&str, &str)]) -> Vec<String> {
    let complain = |(line, code): (usize, String)| {
        let found = words.iter().filter(move |(word, _)| has_word(&code, word));
        found.map(|(word, instead)| source.complaint(line, format!("{word} here: {instead}"))).collect::<Vec<_>>()
    };
    // Unfinished work is announced in comments too.
    let marks = ["FIXME", "TODO", "XXX"];
    let in_comments = source.text.lines().enumerate().filter_map(|(at, line)| {
        let comment = &line[line.find("//")?..];
        let (word, instead) = words.iter().find(|(word, _)| marks.contains(word) && has_word(comment, word))?;
        Some(source.complaint(at + 1, format!("{word} here: {instead}")))
    });
    source.code().into_iter().flat_map(complain).chain(in_comments).collect()
}

/// Whether `code` has `word`, not as the tail of a longer name.
fn has_word(code: &str, word: &str) -> bool {
    code.match_indices(word).any(|(at, _)| {
        let begins_a_name = word.starts_with(|c: char| c.is_alphanumeric());
        let after = code[at + word.len()..].chars().next();
        let ends_a_name =
            word.ends_with(char::is_alphanumeric) && after.is_some_and(|c| c.is_alphanumeric() || c == '_');
        !(begins_a_name && code[..at].ends_with(|c: char| c.is_alphanumeric() || c == '_') || ends_a_name)
    })
}

/// `#12`, `issue 12`: but not `#[…]`, colours or fragments.
fn names_an_issue(line: &str) -> bool {
    let comment = line.find("//").map_or("", |at| &line[at..]);
    let number_after = |mark: &str| {
        comment.to_lowercase().match_indices(mark).any(|(at, _)| {
            let rest = comment[at + mark.len()..].trim_start_matches([' ', '#']);
            rest.starts_with(|c: char| c.is_ascii_digit())
        })
    };
    let hash = comment.match_indices(" #").any(|(at, _)| comment[at + 2..].starts_with(|c: char| c.is_ascii_digit()));
    hash || number_after("issue ") || number_after("pull request ")
}

fn everything_says_what_it_is(sources: &[Source]) -> Vec<String> {
    let silent = sources.iter().filter(|source| !source.text.starts_with("//! "));
    silent.map(|source| source.complaint(1, "begins without //!: say what it is, owns and never does")).collect()
}

/// Functions of a formatted file: name, first line, number of lines.
fn functions(source: &Source) -> Vec<(String, usize, usize)> {
    let lines = source.code();
    let mut found = Vec::new();
    for (at, (line, code)) in lines.iter().enumerate() {
        let Some(name) = function_name(code) else { continue };
        let indent = indent_of(code);
        let ends = lines[at..].iter().position(|(_, code)| {
            let is_declaration = code.trim_end().ends_with(';') && indent_of(code) == indent;
            indent_of(code) == indent && code.trim_start().starts_with('}') || is_declaration
        });
        found.push((name, *line, ends.unwrap_or(0) + 1));
    }
    found
}

fn function_name(code: &str) -> Option<String> {
    let code = code.trim_start();
    let at = code.find("fn ")?;
    let before = code[..at].trim();
    let is_function =
        before.split(' ').all(|word| matches!(word, "" | "pub" | "const" | "async") || word.starts_with("pub("));
    let name: String = code[at + 3..].chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (is_function && !name.is_empty()).then_some(name)
}

fn indent_of(code: &str) -> usize {
    if code.trim().is_empty() { usize::MAX } else { code.len() - code.trim_start().len() }
}

fn everything_fits(
    sources: &[Source],
    files: &[(&str, usize, &str)],
    functions_: &[(&str, usize, &str)],
) -> Vec<String> {
    let mut complaints = Vec::new();
    let mut seen = BTreeSet::new();
    let mut judge = |what: String,
                     source: &Source,
                     line: usize,
                     lines: usize,
                     most: usize,
                     list: &[(&str, usize, &str)],
                     name: &str| {
        let allowed = list.iter().find(|(listed, ..)| *listed == what);
        match allowed {
            Some((_, allowed, _)) if lines <= most => {
                complaints.push(source.complaint(line, format!("fits again ({lines} lines): take {what} ({allowed}) off {name}")));
            }
            Some((_, allowed, why)) if lines > *allowed => complaints.push(source.complaint(
                line,
                format!("{what} grew to {lines} lines, {allowed} were allowed ({why}): split it by idea"),
            )),
            Some((_, allowed, _)) if lines + SLACK_LINES < *allowed => {
                complaints.push(source.complaint(line, format!("{what} shrank to {lines} lines: lower its number in {name}")));
            }
            None if lines > most => complaints.push(source.complaint(
                line,
                format!("{what} has {lines} lines, more than {most}: split it by idea (or list it in {name}, with the reason)"),
            )),
            _ => {}
        }
        seen.insert(what);
    };
    for source in sources {
        judge(source.path.clone(), source, 1, source.text.lines().count(), FILE_LINES_MAX, files, "LONG_FILES");
        let mut longest: std::collections::BTreeMap<String, (usize, usize)> = std::collections::BTreeMap::new();
        for (name, line, lines) in functions(source) {
            let entry = longest.entry(name).or_insert((line, lines));
            *entry = if lines > entry.1 { (line, lines) } else { *entry };
        }
        for (name, (line, lines)) in longest {
            let what = format!("{}::{name}", source.path);
            judge(what, source, line, lines, FUNCTION_LINES_MAX, functions_, "LONG_FUNCTIONS");
        }
    }
    for (listed, ..) in files.iter().chain(functions_).filter(|(listed, ..)| !seen.contains(*listed)) {
        complaints.push(format!("tests/tidy.rs lists {listed}, which is no more: remove it from the list"));
    }
    complaints
}

// ---- the rules, applied to what is here -----------------------------------------------------------------------------

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn sources() -> Vec<Source> {
    let mut left: Vec<PathBuf> = vec![root().join("src")];
    let mut sources = Vec::new();
    while let Some(folder) = left.pop() {
        for entry in fs::read_dir(&folder).expect("src is readable") {
            let path = entry.expect("src is readable").path();
            if path.is_dir() {
                left.push(path);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let name = path.strip_prefix(root()).expect("it is below").to_string_lossy().replace('\\', "/");
                sources.push(Source { path: name, text: fs::read_to_string(&path).expect("sources are text") });
            }
        }
    }
    sources.sort_by(|a, b| a.path.cmp(&b.path));
    assert!(sources.len() > 20, "the sources are somewhere else");
    sources
}

#[track_caller]
fn assert_none(complaints: &[String]) {
    assert!(complaints.is_empty(), "\n{}\n", complaints.join("\n"));
}

#[test]
fn a_module_uses_only_those_below_it_and_doors_never_meet() {
    let library = fs::read_to_string(root().join("src/lib.rs")).expect("src/lib.rs is there");
    let floors = floors(&library);
    assert!(floors.len() > 10, "src/lib.rs lists modules as `pub mod name;`, one in a line");
    assert_none(&floors_hold(&sources(), &floors));
}

#[test]
fn only_listed_files_name_sockets_files_and_tls() {
    assert_none(&gates_hold(&sources()));
}

#[test]
fn machines_name_neither_runtime_nor_clock() {
    assert_none(&machines_are_pure(&sources()));
}

#[test]
fn nothing_is_left_unfinished() {
    assert_none(&nothing_unfinished(&sources()));
}

#[test]
fn every_file_says_what_it_is() {
    assert_none(&everything_says_what_it_is(&sources()));
}

#[test]
fn everything_is_read_in_one_sitting() {
    assert_none(&everything_fits(&sources(), LONG_FILES, LONG_FUNCTIONS));
}

// ---- each rule is able to fail --------------------------------------------------------------------------------------

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}

#[test]
fn the_floors_are_read_from_the_library() {
    let library = "//! Words about pub mod nothing.\npub mod moment;\npub mod geo;\n";
    assert_eq!(floors(library), ["moment", "geo"]);
}

#[test]
fn a_step_up_and_a_meeting_of_doors_are_told() {
    let floors = names(&["moment", "geo", "probe", "front", "node"]);
    let told = |path, text| floors_hold(&[Source::new(path, text)], &floors);
    assert_eq!(told("src/geo/mod.rs", "use crate::moment::Moment;\nuse crate::geo::x;").len(), 0);
    assert_eq!(told("src/geo/place.rs", "use crate::probe::Schedule;").len(), 1);
    assert_eq!(told("src/geo/place.rs", "fn f(x: &crate::node::Node) {}").len(), 1);
    assert_eq!(told("src/geo/place.rs", "// see crate::node\nlet x = \"crate::node::\";").len(), 0);
    assert_eq!(told("src/front/mod.rs", "use crate::probe::x;").len(), 1);
    assert_eq!(told("src/node.rs", "use crate::probe::x;\nuse crate::front::y;").len(), 0);
    assert_eq!(told("src/node.rs", "use crate::{probe, front};").len(), 2, "grouped imports hide what is used");
    assert_eq!(told("src/stray.rs", "").len(), 1, "an undeclared module stands on no floor");
    let own_tests = "#[cfg(test)]\nmod tests {\n    use crate::node::Node;\n}";
    assert_eq!(told("src/geo/mod.rs", own_tests).len(), 0);
}

#[test]
fn a_gate_is_closed_to_everybody_else() {
    let told = |path, text| gates_hold(&[Source::new(path, text)]).len();
    assert_eq!(told("src/steering/mod.rs", "use tokio::net::TcpStream;"), 1);
    assert_eq!(told("src/upstream/dial.rs", "use tokio::net::TcpStream;"), 0);
    assert_eq!(told("src/health/mod.rs", "let x = std::fs::read(y);"), 1);
    assert_eq!(told("src/control.rs", "use rustls::ClientConfig;"), 1);
    assert_eq!(told("src/control.rs", "use anyhow::Result;"), 1);
    assert_eq!(told("src/names.rs", "use std::net::{IpAddr, SocketAddr};"), 0, "an address is no socket");
}

#[test]
fn a_machine_that_waits_or_reads_the_clock_is_told() {
    let told = |text| machines_are_pure(&[Source::new("src/health/verdict.rs", text)]).len();
    assert_eq!(told("async fn ask() {}"), 1);
    assert_eq!(told("let now = std::time::Instant::now();"), 1);
    assert_eq!(told("fn after(clock: &Clock) {}"), 1);
    assert_eq!(told("tokio::spawn(x);"), 1);
    assert_eq!(told("// a Clock is read elsewhere\nfn after(now: Moment) {}"), 0);
    assert_eq!(machines_are_pure(&[Source::new("src/control.rs", "tokio::spawn(x);")]).len(), 0, "a shell may");
}

#[test]
fn unfinished_work_is_told() {
    let told = |text| nothing_unfinished(&[Source::new("src/names.rs", text)]).len();
    assert_eq!(told("x.unwrap();"), 1);
    assert_eq!(told("#[cfg(test)]\nmod tests {\n    fn f() { x.unwrap(); }\n}"), 0);
    assert_eq!(told("todo!()"), 1);
    assert_eq!(told("// FIXME later"), 1);
    assert_eq!(told("// see issue 12"), 1);
    assert_eq!(told("/// fixed in #31"), 1);
    assert_eq!(told("#[must_use] // RFC 9110 §9.2.2, at most 70 lines"), 0);
    assert_eq!(told("x.unwrap_or_default();"), 0);
}

#[test]
fn a_file_without_a_word_about_itself_is_told() {
    assert_eq!(everything_says_what_it_is(&[Source::new("src/x.rs", "use std::fmt;")]).len(), 1);
    assert_eq!(everything_says_what_it_is(&[Source::new("src/x.rs", "//! What it is.\n")]).len(), 0);
}

#[test]
fn what_outgrows_its_place_is_told_and_so_is_what_shrank() {
    let file = |lines: usize| Source::new("src/x.rs", &"\n".repeat(lines));
    let told = |lines, listed: &[(&str, usize, &str)]| everything_fits(&[file(lines)], listed, &[]).len();
    assert_eq!((told(500, &[]), told(501, &[])), (0, 1));
    let listed = [("src/x.rs", 600, "a table")];
    assert_eq!((told(600, &listed), told(601, &listed)), (0, 1), "no further than allowed");
    assert_eq!((told(575, &listed), told(574, &listed)), (0, 1), "the number follows");
    assert_eq!(told(500, &listed), 1, "off the list");
    assert_eq!(told(10, &[("src/gone.rs", 600, "a table")]), 1);

    let function = |lines: usize| {
        let body = "        work();\n".repeat(lines - 2);
        Source::new("src/x.rs", &format!("impl X {{\n    pub fn long(&self) {{\n{body}    }}\n}}\n"))
    };
    let told = |lines, listed: &[(&str, usize, &str)]| everything_fits(&[function(lines)], &[], listed).len();
    assert_eq!((told(70, &[]), told(71, &[])), (0, 1));
    assert_eq!(told(71, &[("src/x.rs::long", 71, "a table")]), 0);
    let short = Source::new("src/x.rs", "trait T {\n    fn declared(&self);\n    fn f() {\n    }\n}\n");
    assert_eq!(functions(&short), [("declared".to_owned(), 2, 1), ("f".to_owned(), 3, 2)]);
}
