//! THE STATUS PAGE: what is rendered of a report, that it fits, and that nothing of what others write gets out of its place.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]
#![allow(dead_code, reason = "each test uses its part")]

#[path = "common/stories.rs"]
mod stories;

use anyfront::history::story::{Level, Phase, Report};
use anyfront::status::export::Folder;
use anyfront::status::page::{Assets, Manner, Setting};
use anyfront::status::rendering::{Change, Rendering};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

fn setting(manner: Manner) -> Setting {
    Setting {
        title: "Gateway status".into(),
        url: "https://status.example".into(),
        manner,
        has_mail: true,
        has_webhooks: true,
        assets: Assets::new(),
    }
}

fn live(report: &Report) -> Rendering {
    Rendering::of(report, &setting(Manner::Live), None)
}

fn text<'a>(rendering: &'a Rendering, path: &str) -> &'a str {
    let file = rendering.files.get(path).unwrap_or_else(|| panic!("there is no {path:?}"));
    std::str::from_utf8(&file.body).expect("text")
}

fn every_story() -> Vec<(&'static str, Report)> {
    vec![
        ("well", stories::all_well()),
        ("outage", stories::outage()),
        ("new", stories::no_history_yet()),
        ("doubt", stories::in_doubt()),
        ("hostile", stories::hostile(0)),
        ("nothing", Report::default()),
    ]
}

/// For looking at: `STATUS_PAGES=DIR` has every story written there, as files.
#[test]
fn stories_can_be_looked_at() {
    let Ok(folder) = std::env::var("STATUS_PAGES") else { return };
    for (name, report) in every_story() {
        let rendering = Rendering::of(&report, &setting(Manner::Static), None);
        Folder::new(&Path::new(&folder).join(name)).try_write(&rendering).expect("written");
    }
}

#[test]
fn the_first_paint_is_below_50_kib_as_it_is_sent() {
    let rendering = live(&stories::outage());
    let sent = |path: &str| {
        let file = &rendering.files[path];
        (file.body.len(), file.gzip.as_ref().unwrap_or(&file.body).len())
    };
    let (page, style) = (sent(""), sent(&rendering.setting.assets.style));
    println!("page {page:?}, style {style:?}: octets as they are, and as sent");
    assert!(page.1 + style.1 < 50 << 10, "{}", page.1 + style.1);
    assert!(page.0 + style.0 < 160 << 10, "{}", page.0 + style.0);
}

/// On a page that is a copy nobody may read "operational" without when.
#[test]
fn a_copy_says_of_when_it_is_in_its_first_sentence() {
    let copy = Rendering::of(&stories::all_well(), &setting(Manner::Static), None);
    let page = text(&copy, "");
    let sentence = &page[page.find("<h1").expect("a heading")..page.find("</h1>").expect("its end")];
    assert!(sentence.contains("All systems operational") && sentence.contains(" as of <time"), "{sentence}");
}

#[test]
fn who_cannot_tell_claims_nothing() {
    for report in [stories::in_doubt(), stories::no_history_yet(), Report::default()] {
        let rendering = live(&report);
        assert!(!text(&rendering, "").contains("All systems operational"));
        assert!(text(&rendering, "badge.svg").contains("status: unknown"));
        let told: serde_json::Value = serde_json::from_str(text(&rendering, "api/v2/status.json")).expect("JSON");
        assert_ne!(told["status"]["indicator"], "none", "{told}");
    }
    let page = live(&stories::in_doubt());
    assert!(text(&page, "").contains("suspects its own network"));
    assert!(text(&page, "").contains("The history on this page has a gap since"));
    for (path, file) in &page.files {
        assert!(!String::from_utf8_lossy(&file.body).contains("the disk is full"), "{path}: why is for operators");
    }
}

#[test]
fn reasons_with_internals_are_on_no_page() {
    let mut report = stories::outage();
    for region in &mut report.regions {
        region.level = Level::Major;
        region.reason = "refused by 10.1.2.3:8443".into();
    }
    let rendering = live(&report);
    for (path, file) in &rendering.files {
        assert!(!String::from_utf8_lossy(&file.body).contains("10.1.2.3"), "{path}");
    }
}

/// Every link of every page leads to something that is there, live and as files.
#[test]
fn every_link_leads_somewhere() {
    for (manner, report) in [Manner::Live, Manner::Static]
        .into_iter()
        .flat_map(|manner| every_story().into_iter().map(move |(_, report)| (manner, report)))
    {
        let rendering = Rendering::of(&report, &setting(manner), None);
        let pages = rendering.files.iter().filter(|(_, file)| file.is_page());
        for (path, file) in pages {
            let page = std::str::from_utf8(&file.body).expect("text");
            let links =
                page.split(" href=\"").chain(page.split(" src=\"")).skip(1).filter_map(|rest| rest.split('"').next());
            for link in links.filter(|link| !link.starts_with(['#', '<']) && !link.contains("<!DOCTYPE")) {
                assert!(!link.contains(':'), "{path:?} leads elsewhere: {link}");
                let mut at: Vec<&str> = path.split('/').collect();
                at.pop();
                for step in link.split('/') {
                    match step {
                        ".." => drop(at.pop().unwrap_or_else(|| panic!("{path:?}: {link} leads out"))),
                        "." => {}
                        step => at.push(step),
                    }
                }
                let name = at.join("/");
                let name = match manner {
                    Manner::Static if name == "index.html" => "",
                    Manner::Static => name.strip_suffix(".html").unwrap_or(&name),
                    Manner::Live => &name,
                };
                assert!(rendering.files.contains_key(name), "{path:?}: {link} leads to {name:?}, which is not there");
            }
        }
    }
}

/// The whole corpus in every field: nothing of it is markup anywhere, nothing controls or turns, no path leads out.
#[test]
fn hostile_text_stays_text() {
    for start in 0..=stories::HOSTILE.len() {
        for manner in [Manner::Live, Manner::Static] {
            let rendering = Rendering::of(&stories::hostile(start), &setting(manner), None);
            for (path, file) in &rendering.files {
                let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | '/');
                assert!(path.chars().all(is_safe) && !path.contains("..") && !path.starts_with('/'), "{path}");
                if path.starts_with("assets/") {
                    continue;
                }
                let body = std::str::from_utf8(&file.body).expect("text");
                let turns = |c: char| matches!(c, '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
                let bad = body.chars().find(|c| (c.is_control() && !matches!(c, '\n' | '\t')) || turns(*c));
                assert_eq!(bad, None, "{path} from {start}");
                if !path.ends_with(".json") {
                    for raw in ["<script>", "<img", "<!ENTITY", "]]>", "<!--", "onerror=alert(1)>"] {
                        assert!(!body.contains(raw), "{path} from {start} has {raw}");
                    }
                    assert_eq!(body.matches("<script").count(), usize::from(file.is_page()), "{path} from {start}");
                }
            }
        }
    }
}

#[test]
fn what_is_told_comes_back_whole_from_the_documents() {
    let mut report = stories::outage();
    report.incidents[0].title = stories::HOSTILE[0].to_owned();
    report.incidents[0].updates[0].text = "one\ntwo \"three\" \\ </script>".to_owned();
    let told: serde_json::Value = serde_json::from_str(text(&live(&report), "api/v2/summary.json")).expect("JSON");
    assert_eq!(told["incidents"][0]["name"], stories::HOSTILE[0]);
    assert_eq!(told["incidents"][0]["incident_updates"][2]["body"], "one\ntwo \"three\" \\ </script>");
    assert_eq!(told["status"]["indicator"], "major");
}

/// Feeds, documents and pictures by other people's programs.
#[test]
fn feeds_documents_and_badges_are_valid() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let python: PathBuf = root.join("target/clients/python/bin/python");
    let has = |module: &str| {
        Command::new(&python).args(["-c", &format!("import {module}")]).output().is_ok_and(|ran| ran.status.success())
    };
    if !has("feedparser") {
        eprintln!("SKIPPED: feedparser is not installed: `make test` does it");
        return;
    }
    let mut reports = every_story();
    reports.extend((1..=stories::HOSTILE.len()).map(|start| ("hostile", stories::hostile(start))));
    for (name, report) in reports {
        let folder = tempfile::tempdir().expect("a folder");
        Folder::new(folder.path()).try_write(&live(&report)).expect("written");
        let script = root.join("tests/clients/python/feeds.py");
        let ran = Command::new(&python).arg("-B").arg(script).arg(folder.path()).output().expect("it runs");
        let said = String::from_utf8_lossy(&ran.stdout).into_owned();
        assert!(ran.status.success(), "{name}: {}", String::from_utf8_lossy(&ran.stderr));
        assert!(said.starts_with("read "), "{name}:\n{said}");
    }
}

#[test]
fn an_entry_keeps_its_id_while_its_incident_goes_on() {
    let id = |report: &Report| {
        let feed = text(&live(report), "history.atom").to_owned();
        let entry = feed.split("<entry>").find(|entry| entry.contains("served by its fallback")).expect("it is there");
        let part = |name: &str| {
            let from = entry.find(&format!("<{name}>")).expect("it is there") + name.len() + 2;
            entry[from..].split('<').next().expect("its end").to_owned()
        };
        (part("id"), part("updated"))
    };
    let mut report = stories::outage();
    let before = id(&report);
    assert_eq!(before.0, "tag:status.example,2026:incident/inc-20261127-us");
    let mut last = report.incidents[0].updates[2].clone();
    (last.id, last.at, last.phase) = ("u-us-4".into(), stories::NOW, Phase::Resolved);
    report.incidents[0].updates.push(last);
    let after = id(&report);
    assert_eq!(before.0, after.0);
    assert!(before.1 < after.1, "{before:?} {after:?}");
}

#[test]
fn only_what_changed_is_told_and_made_anew() {
    let before = live(&stories::all_well());
    let same = Rendering::of(&stories::all_well(), &setting(Manner::Live), Some(&before));
    assert_eq!(same.change_since(&before), None);
    assert!(same.files.iter().all(|(path, file)| Arc::ptr_eq(file, &before.files[path])), "a file was made anew");

    let mut report = stories::all_well();
    report.regions[0].level = Level::Major;
    let after = Rendering::of(&report, &setting(Manner::Live), Some(&same));
    let Some(Change::Parts(told)) = after.change_since(&same) else { panic!("parts changed") };
    let told: serde_json::Value = serde_json::from_str(&told).expect("JSON");
    let ids: Vec<&String> = told["parts"].as_object().expect("an object").keys().collect();
    assert_eq!(ids, ["headline", "provider-aws", "region-orf", "world"]);
    assert!(Arc::ptr_eq(&after.files["history"], &same.files["history"]));

    report.regions.pop();
    let other = Rendering::of(&report, &setting(Manner::Live), Some(&after));
    assert_eq!(other.change_since(&after), Some(Change::Reload));
}

/// News fit into one line of a stream, whatever others write.
#[test]
fn news_are_one_line() {
    let before = live(&stories::hostile(0));
    let mut report = stories::hostile(0);
    for hostname in &mut report.hostnames {
        hostname.sentence = "a\nb\r\nc\u{2028}d\u{85}".into();
    }
    let after = live(&report);
    let Some(Change::Parts(told)) = after.change_since(&before) else { panic!("parts changed") };
    assert!(!told.contains(['\n', '\r']), "{told}");
}

/// 14 regions, 90 days, incidents: how long a change takes. Nobody waits for it, and no request makes one.
#[test]
fn a_change_is_rendered_in_no_time() {
    let clock = anyfront::moment::Clock::start();
    let first = live(&stories::outage());
    let mut shortest = Duration::MAX;
    for _ in 0..20 {
        let mut report = stories::outage();
        report.at += Duration::from_secs(1);
        let before = clock.now();
        let next = Rendering::of(&report, &setting(Manner::Live), Some(&first));
        shortest = shortest.min(clock.now().since(before));
        assert!(next.change_since(&first).is_some());
    }
    println!("a change takes {shortest:?}");
    assert!(shortest < Duration::from_millis(500), "{shortest:?}");
}

/// A copy in a folder: whole, nothing written twice, nothing half.
#[test]
fn a_copy_writes_only_what_changed_and_mends_what_was_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let rendering = Rendering::of(&stories::all_well(), &setting(Manner::Static), None);
    let mut copy = Folder::new(folder.path());
    let all = copy.try_write(&rendering).expect("written");
    assert_eq!(all, rendering.files.len() + 1);
    assert_eq!(copy.try_write(&rendering).expect("written"), 0);
    assert_eq!(Folder::new(folder.path()).try_write(&rendering).expect("written"), 0, "after a restart, too");
    std::fs::write(folder.path().join("index.html"), "touched").expect("written");
    assert_eq!(Folder::new(folder.path()).try_write(&rendering).expect("written"), 1);
    let mut report = stories::all_well();
    report.regions[0].level = Level::Major;
    let next = Rendering::of(&report, &setting(Manner::Static), Some(&rendering));
    let written = copy.try_write(&next).expect("written");
    assert!((1..20).contains(&written), "{written}");
    let left = walk(folder.path()).into_iter().filter(|path| path.extension().is_some_and(|end| end == "new"));
    assert_eq!(left.count(), 0);
    // What cannot be written is an error that says why, and the page that was there stays.
    std::fs::remove_dir_all(folder.path().join("badge")).expect("removed");
    std::fs::write(folder.path().join("badge"), "in the way").expect("written");
    assert!(Folder::new(folder.path()).try_write(&rendering).is_err());
    assert!(folder.path().join("index.html").is_file());
}

fn walk(folder: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
