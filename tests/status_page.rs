//! THE STATUS PAGE: what is rendered of a report, and that nothing of what others write gets out of its place.

#![allow(clippy::panic, reason = "what cannot be tested fails the test, and says why")]

#[path = "common/stories.rs"]
mod stories;

use anyfront::history::story::Report;
use anyfront::status::page::{Assets, Manner, Setting};
use anyfront::status::rendering::Rendering;

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

/// For looking at: `STATUS_PAGES=DIR` has every story written there, as files.
#[test]
fn stories_can_be_looked_at() {
    let Ok(folder) = std::env::var("STATUS_PAGES") else { return };
    let stories: [(&str, Report); 5] = [
        ("well", stories::all_well()),
        ("outage", stories::outage()),
        ("new", stories::no_history_yet()),
        ("doubt", stories::in_doubt()),
        ("hostile", stories::hostile(0)),
    ];
    for (name, report) in stories {
        let rendering = Rendering::of(&report, &setting(Manner::Static), None);
        for (path, file) in &rendering.files {
            let path = match path.as_str() {
                "" => "index.html".to_owned(),
                path if file.is_page() => format!("{path}.html"),
                path => path.to_owned(),
            };
            let path = std::path::Path::new(&folder).join(name).join(path);
            std::fs::create_dir_all(path.parent().expect("it has one")).expect("a folder");
            std::fs::write(path, &file.body).expect("written");
        }
        let first = &rendering.files[""];
        let compressed = first.gzip.as_ref().map_or(0, |gzip| gzip.len());
        println!("{name}: {} octets, {compressed} compressed, {} files", first.body.len(), rendering.files.len());
    }
}
