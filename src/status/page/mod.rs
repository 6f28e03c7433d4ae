//! THE PAGE: HTML and SVG of a [`Report`], for a customer who asks "is it them or me?" and an operator at three in the
//! morning. Pure: a report in, pages out; everything a stranger or an operator wrote is escaped by type.
//!
//! A page is a frame around *parts*, each with an id of its own: what changes is sent to readers part by part, and the
//! script puts it in place. Without the script the page is whole all the same.

pub mod words;
pub mod marks;
pub mod map;
pub mod overview;
pub mod region;
pub mod incident;
pub mod subscribe;
pub mod subscription;

use crate::history::story::Level;
use marks::shape;
use maud::{DOCTYPE, Markup, PreEscaped, html};

/// How everything looks.
pub const STYLE: &str = include_str!("style.css");
/// What keeps it fresh.
pub const SCRIPT: &str = include_str!("page.js");

/// Where the pages are read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// From a node, which tells of changes.
    Live,
    /// From files that a node wrote some time ago.
    Static,
}

/// What surrounds a report.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Setting {
    /// What the pages are called.
    pub title: String,
    /// Where they are, without a slash at the end: feeds and the interface name things by it.
    pub url: String,
    /// Where they are read.
    pub manner: Manner,
    /// Whether mail can be subscribed to.
    pub has_mail: bool,
    /// Whether webhooks can be subscribed to.
    pub has_webhooks: bool,
    /// The names of the assets, with what they contain in their names.
    pub assets: Assets,
}

/// The files beside the pages; their names change with what is in them, so they may be kept for ever.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assets {
    /// The style's path.
    pub style: String,
    /// The script's path.
    pub script: String,
}

impl Assets {
    /// Of the style and script in this program.
    #[must_use]
    pub fn new() -> Self {
        let name = |stem: &str, text: &str, end: &str| {
            let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, text.as_bytes());
            let digits: String = digest.as_ref()[..6].iter().map(|octet| format!("{octet:02x}")).collect();
            format!("assets/{stem}.{digits}.{end}")
        };
        Self { style: name("style", STYLE, "css"), script: name("page", SCRIPT, "js") }
    }
}

impl Default for Assets {
    fn default() -> Self {
        Self::new()
    }
}

/// Where the icon of a level is.
#[must_use]
pub fn icon_path(level: Level) -> String {
    format!("assets/icon-{}.svg", level.as_str())
}

/// The icon of a level, for the browser's tab.
#[must_use]
pub fn icon(level: Level) -> String {
    let color = color(level);
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg" viewBox="-10 -10 20 20" fill=(color) {
            g { (PreEscaped(shape(level).replace("class=\"in\"", "stroke=\"#fff\"").replace("class=\"hollow\"", &format!("stroke=\"{color}\"")).replace("class=\"mark\"", &format!("stroke=\"{color}\"")))) }
        }
    };
    drawn.into_string()
}

/// The color of a level where no style reaches.
#[must_use]
pub fn color(level: Level) -> &'static str {
    match level {
        Level::Operational => "#1f8a54",
        Level::Maintenance => "#2f6fd0",
        Level::Unknown => "#667085",
        Level::Degraded => "#b27b00",
        Level::Partial => "#c2570c",
        Level::Major => "#c8281e",
    }
}

/// Writes links of a page so that they work below any path and, where the pages are files, without a server.
#[derive(Clone, Copy, Debug)]
pub struct Links {
    depth: usize,
    manner: Manner,
}

impl Links {
    /// Of the page at `path`.
    #[must_use]
    pub fn at(path: &str, manner: Manner) -> Self {
        Self { depth: path.matches('/').count(), manner }
    }

    /// To a file.
    #[must_use]
    pub fn file(&self, path: &str) -> String {
        "../".repeat(self.depth) + path
    }

    /// To a page; the empty path is the first one.
    #[must_use]
    pub fn page(&self, path: &str) -> String {
        match (self.manner, path, self.depth) {
            (Manner::Live, "", 0) => "./".to_owned(),
            (Manner::Live, path, _) => self.file(path),
            (Manner::Static, "", _) => self.file("index.html"),
            (Manner::Static, path, _) => self.file(&format!("{path}.html")),
        }
    }
}

/// One page before its frame.
#[derive(Debug)]
pub struct Sheet<'a> {
    /// Its path; the first page's is empty.
    pub path: &'a str,
    /// What it is called; the first page has the state itself.
    pub title: &'a str,
    /// What search engines say of it.
    pub description: &'a str,
    /// How everything is, for the icon; nothing on pages that do not tell it.
    pub level: Option<Level>,
    /// What the script has to know: when the report was made, and its version.
    pub made: Option<(String, String)>,
    /// What is on it.
    pub content: Markup,
}

/// A page with its frame.
#[must_use]
pub fn framed(setting: &Setting, sheet: &Sheet<'_>) -> String {
    let links = Links::at(sheet.path, setting.manner);
    let manner = if setting.manner == Manner::Live { "live" } else { "static" };
    let (at, version) = sheet.made.clone().unzip();
    let navigation = [("", "Status"), ("history", "History"), ("subscribe", "Subscribe")];
    let here = sheet.path.split('/').next().unwrap_or_default();
    let page = html! {
        (DOCTYPE)
        html lang="en" data-manner=(manner) data-root=(links.file("")) data-at=[at] data-version=[version] {
            head {
                meta charset="utf-8";
                @if setting.manner == Manner::Static {
                    meta http-equiv="Content-Security-Policy" content=(policy_of_files(&setting.url));
                    meta name="referrer" content="no-referrer";
                }
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (sheet.title) " – " (setting.title) }
                meta name="description" content=(sheet.description);
                link id="icon" rel="icon" type="image/svg+xml" href=(links.file(&icon_path(sheet.level.unwrap_or_default())));
                link rel="stylesheet" href=(links.file(&setting.assets.style));
                link rel="alternate" type="application/atom+xml" title="Incidents and maintenance (Atom)" href=(links.file("history.atom"));
                link rel="alternate" type="application/rss+xml" title="Incidents and maintenance (RSS)" href=(links.file("history.rss"));
                script src=(links.file(&setting.assets.script)) defer {}
            }
            body {
                a class="skip" href="#main" { "Skip to the content" }
                header class="top" {
                    div class="inner" {
                        a class="brand" href=(links.page("")) { bdi { (setting.title) } }
                        nav aria-label="Pages" {
                            @for (path, name) in navigation {
                                @let is_here = here == path || (here == "incident" && path == "history");
                                a href=(links.page(path)) aria-current=[is_here.then_some(if sheet.path == path { "page" } else { "true" })] { (name) }
                            }
                        }
                    }
                }
                p id="stale" class="notice stale" hidden {}
                main id="main" tabindex="-1" { (sheet.content) }
                footer {
                    div class="inner" {
                        p {
                            a href=(links.file("history.atom")) { "Atom" } " "
                            a href=(links.file("history.rss")) { "RSS" } " "
                            a href=(links.file("api/v2/summary.json")) { "JSON" } " "
                            a href=(links.file("badge.svg")) { "Badge" }
                        }
                        p class="quiet" { "Made from the observations that requests are routed by. Times are in UTC" span data-zone="" {} "." }
                    }
                }
                p id="said" class="unseen" role="status" aria-live="polite" {}
            }
        }
    };
    page.into_string()
}

/// What a page from files may load and where its forms may go: itself, and the node it is a copy of.
fn policy_of_files(url: &str) -> String {
    let origin: String = url.split('/').take(3).collect::<Vec<_>>().join("/");
    let is_plain = origin.chars().all(|c| c.is_ascii_alphanumeric() || ":/.-[]".contains(c));
    let forms = if is_plain && !origin.is_empty() { origin } else { "'self'".to_owned() };
    format!(
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; \
         form-action {forms}; base-uri 'none'"
    )
}

/// What is said where there is no page, so many folders deep.
#[must_use]
pub fn missing(setting: &Setting, depth: usize) -> String {
    let path = format!("{}missing", "x/".repeat(depth));
    let home = Links::at(&path, setting.manner).page("");
    let content = html! {
        section class="hero unknown" {
            div class="inner" {
                (marks::mark(Level::Unknown))
                div {
                    h1 { "There is no such page" }
                    p { "It may have been an incident of more than 90 days ago. " a href=(home) { "See how everything is now" } "." }
                }
            }
        }
    };
    let sheet = Sheet {
        path: &path,
        title: "Not found",
        description: "There is no such page.",
        level: None,
        made: None,
        content,
    };
    framed(setting, &sheet)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_work_from_any_depth_and_without_a_server() {
        let link = |from, manner, to| Links::at(from, manner).page(to);
        assert_eq!(link("", Manner::Live, ""), "./");
        assert_eq!(link("incident/x", Manner::Live, ""), "../");
        assert_eq!(link("incident/x", Manner::Live, "history/2026-11"), "../history/2026-11");
        assert_eq!(link("incident/x", Manner::Static, ""), "../index.html");
        assert_eq!(link("", Manner::Static, "history"), "history.html");
    }

    #[test]
    fn forms_of_files_go_to_the_node_and_a_strange_url_adds_nothing_to_the_policy() {
        assert!(policy_of_files("https://status.example/x").contains("form-action https://status.example;"));
        assert!(policy_of_files("https://a; script-src *").contains("form-action 'self';"));
    }
}
