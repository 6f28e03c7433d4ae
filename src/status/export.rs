//! The status page as files, for a bucket elsewhere: it outlives us.
//!
//! Each file takes its name in one step, and only what changed is written: whoever copies the folder never copies half a
//! page, and copies little. Assets have their content in their names, so an old page finds its old style; the first page is
//! written last, so that what it points to is there.

use super::page::{Assets, Manner, Setting};
use super::rendering::{File, Rendering};
use crate::history::story::Report;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use std::fs;
use std::io::{self, Write};
use std::path::{Path, PathBuf};

/// What a file is called until it takes its name.
const NEW: &str = ".new";

/// What a node tells somebody who renders the pages elsewhere: `GET /report` of the admin address.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// What the pages are called.
    pub title: String,
    /// Where they are.
    pub url: String,
    /// Whether mail can be subscribed to there.
    pub has_mail: bool,
    /// Whether webhooks can be.
    pub has_webhooks: bool,
    /// What is told.
    pub report: Report,
}

impl Told {
    /// What `rendering` shows.
    #[must_use]
    pub fn of(rendering: &Rendering) -> Self {
        let Setting { title, url, has_mail, has_webhooks, .. } = rendering.setting.clone();
        Self { title, url, has_mail, has_webhooks, report: rendering.report.clone() }
    }

    /// The same as files.
    #[must_use]
    pub fn rendered(&self) -> Rendering {
        let setting = Setting {
            title: self.title.clone(),
            url: self.url.clone(),
            manner: Manner::Static,
            has_mail: self.has_mail,
            has_webhooks: self.has_webhooks,
            assets: Assets::new(),
        };
        Rendering::of(&self.report, &setting, None)
    }
}

/// A folder with a copy.
#[derive(Debug)]
pub struct Folder {
    root: PathBuf,
    /// The tags of what was written, by path.
    written: HashMap<String, String>,
    has_complained: bool,
}

impl Folder {
    /// Writes below `root`, which need not exist yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), written: HashMap::new(), has_complained: false }
    }

    /// Writes what is not there yet as it is in `rendering`. What cannot be written is told once until it can.
    pub fn write(&mut self, rendering: &Rendering) {
        match self.try_write(rendering) {
            Ok(_) if self.has_complained => {
                self.has_complained = false;
                tracing::info!("{}: the copy of the status page is written again", self.root.display());
            }
            Err(error) if !self.has_complained => {
                self.has_complained = true;
                tracing::error!(%error, "{}: the copy of the status page cannot be written", self.root.display());
            }
            Ok(_) | Err(_) => {}
        }
    }

    /// Writes what is not there yet as it is in `rendering`; how many files that were.
    ///
    /// # Errors
    /// The first that could not be written; those after it are not tried.
    pub fn try_write(&mut self, rendering: &Rendering) -> io::Result<usize> {
        let lost = std::iter::once(("404".to_owned(), &rendering.missing[0]));
        let pages = rendering.files.iter().filter(|(path, _)| !path.is_empty());
        let all = pages.map(|(path, file)| (path.clone(), file)).chain(lost);
        let first = rendering.files.get("").map(|file| (String::new(), file));
        let mut count = 0;
        for (path, file) in all.chain(first) {
            if self.written.get(&path) != Some(&file.tag) {
                count += usize::from(self.put(&name(&path, file), file)?);
                self.written.insert(path, file.tag.clone());
            }
        }
        Ok(count)
    }

    /// Whether it had to be written.
    fn put(&self, name: &str, file: &File) -> io::Result<bool> {
        let path = self.root.join(name);
        if fs::read(&path).is_ok_and(|there| there == file.body) {
            return Ok(false);
        }
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        let mut beside = path.clone().into_os_string();
        beside.push(NEW);
        let mut new = fs::File::create(&beside)?;
        new.write_all(&file.body)?;
        drop(new);
        fs::rename(&beside, &path)?;
        Ok(true)
    }
}

/// What a file is called in the folder.
fn name(path: &str, file: &File) -> String {
    match path {
        "" => "index.html".to_owned(),
        path if file.is_page() => format!("{path}.html"),
        path => path.to_owned(),
    }
}
