//! All that is public, rendered into memory once for each change: pages, feeds, documents, badges. A machine: a report in,
//! files and what changed in them out.
//!
//! What comes out as before keeps its compressed form and its tag, so that a change costs what changed.

use super::api;
use super::badge::badge;
use super::feed::{Scope, atom, rss};
use super::page::overview::{self, Parts};
use super::page::words::{fit, headline, machine, slug};
use super::page::{Manner, SCRIPT, STYLE, Setting, icon, icon_path, incident, missing, subscribe};
use crate::history::story::{LEVELS, Level, Report, Subject};
use bytes::Bytes;
use flate2::write::GzEncoder;
use flate2::{Compression, GzBuilder};
use serde_json::json;
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::Arc;
use std::time::Duration;

/// Below this compression gains nothing, octets.
const COMPRESSED_FROM_BYTES: usize = 512;
/// For the next few seconds it is the same: caches in front of us take the rush.
const SOON: &str = "public, max-age=5";
/// What has its content in its name.
const FOREVER: &str = "public, max-age=31536000, immutable";

/// How deep a path may be that has a page of its own for what is not there.
const MISSING_DEPTH: usize = 4;

const HTML: &str = "text/html; charset=utf-8";
const SVG: &str = "image/svg+xml";

/// One file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct File {
    /// What it is.
    pub content_type: &'static str,
    /// How long it may be kept.
    pub cache_control: &'static str,
    /// Itself.
    pub body: Bytes,
    /// Compressed by gzip, if that is shorter.
    pub gzip: Option<Bytes>,
    /// Its entity tag without quotes: the beginning of its digest, in hexadecimal.
    pub tag: String,
}

impl File {
    fn new(content_type: &'static str, cache_control: &'static str, body: String) -> Self {
        let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, body.as_bytes());
        let tag = digest.as_ref()[..12].iter().map(|octet| format!("{octet:02x}")).collect();
        let gzip = compressed(body.as_bytes());
        Self { content_type, cache_control, body: Bytes::from(body), gzip, tag }
    }

    /// Whether it is a page, which files call `.html`.
    #[must_use]
    pub fn is_page(&self) -> bool {
        self.content_type == HTML
    }

    /// Whether it is for programs and pages elsewhere, and so may be read from there.
    #[must_use]
    pub fn is_for_others(&self) -> bool {
        !self.is_page() && self.cache_control == SOON
    }
}

fn compressed(body: &[u8]) -> Option<Bytes> {
    if body.len() < COMPRESSED_FROM_BYTES {
        return None;
    }
    let mut encoder: GzEncoder<Vec<u8>> =
        GzBuilder::new().mtime(0).write(Vec::with_capacity(body.len() / 4), Compression::default());
    let done = encoder.write_all(body).and_then(|()| encoder.finish());
    done.ok().filter(|short| short.len() < body.len()).map(Bytes::from)
}

/// What readers who follow are told of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These parts are new: JSON, in one line.
    Parts(String),
    /// The page has other parts than before: it is to be asked for anew.
    Reload,
}

/// Everything, rendered.
#[derive(Debug)]
pub struct Rendering {
    /// When the report was made, since the Unix epoch.
    pub at: Duration,
    /// Which state of the parts it is.
    pub version: String,
    /// The files by their paths, without a slash before; pages have no ending, and the first page's path is empty.
    pub files: BTreeMap<String, Arc<File>>,
    /// The page for what is not there, by how deep the path is: its links are relative.
    pub missing: Vec<Arc<File>>,
    /// What surrounds it.
    pub setting: Setting,
    /// Of what: the report, without what may not be shown.
    pub report: Report,
    parts: Parts,
    title: String,
    level: Level,
}

/// Collects files, and takes what did not change from before.
struct Files<'a> {
    before: Option<&'a Rendering>,
    files: BTreeMap<String, Arc<File>>,
}

impl Files<'_> {
    fn put(&mut self, path: String, content_type: &'static str, cache_control: &'static str, body: String) {
        let known = self.before.and_then(|before| before.files.get(&path)).filter(|file| file.body == body.as_bytes());
        let file = known.cloned().unwrap_or_else(|| Arc::new(File::new(content_type, cache_control, body)));
        self.files.insert(path, file);
    }
}

impl Rendering {
    /// Of a report. What did not change is taken from `before`, the rendering before it.
    #[must_use]
    pub fn of(report: &Report, setting: &Setting, before: Option<&Self>) -> Self {
        let before = before.filter(|before| before.setting == *setting);
        let fitted = fit(report);
        let report = &fitted;
        let headline = headline(report);
        let mut parts = overview::parts(setting, report);
        let version = version(&parts);
        let mut files = Files { before, files: BTreeMap::new() };
        let first = overview::page(setting, report, &parts, &version);
        incident::put_parts(setting, report, &mut parts);
        files.put(String::new(), HTML, SOON, first);
        put_pages(&mut files, report, setting, &parts);
        put_feeds(&mut files, report, setting);
        put_documents(&mut files, report, setting);
        put_badges(&mut files, report, headline.level);
        put_assets(&mut files, setting);
        let lost = |depth| Arc::new(File::new(HTML, SOON, missing(setting, depth)));
        let lost = before.map_or_else(|| (0..MISSING_DEPTH).map(lost).collect(), |before| before.missing.clone());
        let Files { files, .. } = files;
        let title = format!("{} – {}", headline.title, setting.title);
        Self {
            at: fitted.at,
            version,
            setting: setting.clone(),
            report: fitted,
            files,
            missing: lost,
            parts,
            title,
            level: headline.level,
        }
    }

    /// What changed since `before`, if anything did.
    #[must_use]
    pub fn change_since(&self, before: &Self) -> Option<Change> {
        if self.parts == before.parts {
            return None;
        }
        if !self.parts.keys().eq(before.parts.keys()) {
            return Some(Change::Reload);
        }
        let is_new = |(id, part): &(&String, &String)| before.parts.get(*id) != Some(*part);
        let parts: BTreeMap<&String, &String> = self.parts.iter().filter(is_new).collect();
        let told = json!({
            "at": machine(self.at),
            "title": self.title,
            "icon": icon_path(self.level),
            "parts": parts,
        });
        Some(Change::Parts(told.to_string()))
    }
}

/// A short name for a state of the parts.
fn version(parts: &Parts) -> String {
    let mut context = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    for (id, part) in parts {
        context.update(id.as_bytes());
        context.update(part.as_bytes());
    }
    context.finish().as_ref()[..8].iter().map(|octet| format!("{octet:02x}")).collect()
}

fn put_pages(files: &mut Files<'_>, report: &Report, setting: &Setting, parts: &Parts) {
    let part = |id: &str| parts.get(id).map_or("", String::as_str);
    for incident in report.incidents.iter().chain(&report.maintenance) {
        let page = incident::page(setting, incident, part(&incident::id(incident)));
        files.put(format!("incident/{}", slug(&incident.id)), HTML, SOON, page);
    }
    let months = incident::months(report);
    for (at, month) in months.iter().enumerate() {
        let page = incident::history(setting, &months, at, part(&format!("month-{month}")));
        files.put(incident::month_path(&months, at), HTML, SOON, page);
    }
    files.put("subscribe".to_owned(), HTML, SOON, subscribe::page(setting, report));
}

/// What feeds and badges can be about.
fn subjects(report: &Report) -> impl Iterator<Item = (Subject, Level)> {
    let regions = report.regions.iter().map(|region| (Subject::Region(region.name.clone()), region.level));
    let hostnames = report.hostnames.iter().map(|name| (Subject::Hostname(name.name.clone()), name.level));
    regions.chain(hostnames)
}

fn put_feeds(files: &mut Files<'_>, report: &Report, setting: &Setting) {
    let mut both = |scope: Scope<'_>| {
        let path = scope.path();
        files.put(format!("{path}.atom"), "application/atom+xml; charset=utf-8", SOON, atom(setting, report, scope));
        files.put(format!("{path}.rss"), "application/rss+xml; charset=utf-8", SOON, rss(setting, report, scope));
    };
    both(Scope::Everything);
    for (subject, _) in subjects(report) {
        both(Scope::Of(&subject));
    }
}

fn put_documents(files: &mut Files<'_>, report: &Report, setting: &Setting) {
    for (name, document) in api::documents(setting, report) {
        files.put(format!("{}{name}", api::ROOT), "application/json; charset=utf-8", SOON, document.to_string());
    }
}

fn put_badges(files: &mut Files<'_>, report: &Report, level: Level) {
    files.put("badge.svg".to_owned(), SVG, SOON, badge("status", level));
    for (subject, level) in subjects(report) {
        let (kind, shown) = match &subject {
            Subject::Region(name) => ("region", super::page::words::code(name)),
            Subject::Hostname(name) => ("hostname", name.clone()),
        };
        files.put(format!("badge/{kind}/{}.svg", slug(subject.name())), SVG, SOON, badge(&shown, level));
    }
}

fn put_assets(files: &mut Files<'_>, setting: &Setting) {
    files.put(setting.assets.style.clone(), "text/css; charset=utf-8", FOREVER, STYLE.to_owned());
    files.put(setting.assets.script.clone(), "text/javascript; charset=utf-8", FOREVER, SCRIPT.to_owned());
    for level in LEVELS {
        files.put(icon_path(level), SVG, SOON, icon(level));
    }
    if setting.manner == Manner::Live {
        files.put("robots.txt".to_owned(), "text/plain; charset=utf-8", SOON, "User-agent: *\nAllow: /\n".to_owned());
    }
}
