//! Keys as people and programs read them.

use super::parent::Parent;
use crate::cli::plan;
use crate::dnssec::life::Lives;
use crate::dnssec::outlook::{Outlook, Stage};
use crate::dnssec::record::Record;
use crate::dnssec::roles::Wanted;
use crate::dnssec::timing::{PROPAGATION, refresh_after, window_at};
use crate::moment::rfc3339;
use hickory_proto::dnssec::rdata::DS;
use serde_json::{Value, json};
use std::fmt::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// Prints what a change has made.
///
/// # Errors
/// If standard output cannot be written.
pub(super) fn changed(
    record: &Record,
    folder: &Path,
    what: &str,
    wall: Duration,
    is_json: bool,
) -> anyhow::Result<ExitCode> {
    let page = Page { record, folder, wall, problem: None, remarks: Vec::new(), asked: &[] };
    let by = minute(wall + PROPAGATION);
    let text = if is_json {
        format!("{:#}\n", page.json())
    } else {
        format!("{what}; copy {} to every node before {by}\n\n{}", folder.display(), page.text())
    };
    plan::print(&text)?;
    Ok(ExitCode::SUCCESS)
}

/// All that is known of a zone's keys.
pub(super) struct Page<'a> {
    pub record: &'a Record,
    pub folder: &'a Path,
    pub wall: Duration,
    /// Why a node could not use the folder.
    pub problem: Option<String>,
    pub remarks: Vec<String>,
    pub asked: &'a [Parent],
}

impl Page<'_> {
    pub(super) fn json(&self) -> Value {
        let lives = &self.record.lives;
        let roles = lives.roles(self.wall);
        let tags = |who: &[usize]| who.iter().map(|at| lives.all()[*at].tag).collect::<Vec<_>>();
        let keys = lives.outlook(self.wall).into_iter().map(|outlook| {
            json!({
                "tag": outlook.tag,
                "algorithm": u8::from(outlook.algorithm),
                "state": outlook.stage,
                "since": rfc3339(outlook.since),
                "next": outlook.next.map(|(at, what)| json!({ "at": rfc3339(at), "what": what })),
                "todo": outlook.todo,
            })
        });
        let window = window_at(lives.not_before_last_step(self.wall));
        json!({
            "zone": self.record.zone.to_ascii(),
            "folder": self.folder,
            "revision": lives.steps(),
            "keys": keys.collect::<Vec<_>>(),
            "published": tags(&roles.published),
            "sign_keys": tags(&roles.sign_keys),
            "sign_zone": tags(&roles.sign_zone),
            "cds": match roles.wanted {
                Wanted::Nothing => Value::Null,
                Wanted::Only(at) => json!(lives.all()[at].tag),
                Wanted::Delete => json!("delete"),
            },
            "changes_at": roles.until.map(rfc3339),
            "signatures": {
                "inception": rfc3339(Duration::from_secs(window.inception.into())),
                "expiration": rfc3339(Duration::from_secs(window.expiration.into())),
                "refresh": rfc3339(refresh_after(lives.not_before_last_step(self.wall))),
            },
            "clock_behind_seconds": self.behind().as_secs(),
            "problem": self.problem,
            "remarks": self.remarks,
            "parent": self.asked.iter().map(|parent| self.parent_json(parent)).collect::<Vec<_>>(),
            "steps": self.record.taken(),
        })
    }

    fn parent_json(&self, parent: &Parent) -> Value {
        let keys = self.of_keys(parent);
        json!({
            "address": parent.address,
            "ttl_seconds": parent.ttl.as_secs(),
            "ds": parent.ds.iter().map(presented).collect::<Vec<_>>(),
            "keys": keys,
        })
    }

    /// The keys whose DS it has.
    fn of_keys(&self, parent: &Parent) -> Vec<u16> {
        let lives = self.record.lives.all().iter().enumerate();
        lives.filter(|(at, _)| parent.has(self.record, *at)).map(|(_, life)| life.tag).collect()
    }

    /// How far the clock is behind the last step.
    fn behind(&self) -> Duration {
        self.record.lives.last_step().saturating_sub(self.wall)
    }

    pub(super) fn text(&self) -> String {
        let lives = &self.record.lives;
        let zone = self.record.zone.to_ascii();
        let mut text =
            format!("{zone}  {}; revision {} in {}\n", self.how(lives), lives.steps(), self.folder.display());
        if let Some(problem) = &self.problem {
            let _ = writeln!(text, "\nNODES CANNOT USE THIS FOLDER: {problem}");
        }
        if !self.behind().is_zero() {
            let (now, last) = (minute(self.wall), minute(lives.last_step()));
            let _ = writeln!(text, "\nTHE CLOCK IS BEHIND: it says {now}, the last step was at {last}");
        }
        for remark in &self.remarks {
            let _ = writeln!(text, "\nnote: {remark}");
        }
        let (gone, here): (Vec<Outlook>, Vec<Outlook>) =
            lives.outlook(self.wall).into_iter().partition(|outlook| outlook.stage == Stage::Forgotten);
        for outlook in &here {
            self.key(&mut text, outlook);
        }
        if !gone.is_empty() {
            let tags: Vec<String> = gone.iter().map(|outlook| outlook.tag.to_string()).collect();
            let _ = writeln!(text, "\nkeys of the past: {}", tags.join(", "));
        }
        for parent in self.asked {
            self.parent(&mut text, parent);
        }
        text
    }

    fn how(&self, lives: &Lives) -> String {
        let signers = lives.roles(self.wall).sign_zone;
        let tags: Vec<String> = signers.iter().map(|at| lives.all()[*at].tag.to_string()).collect();
        if tags.is_empty() {
            return "is unsigned".to_owned();
        }
        let again = minute(refresh_after(lives.not_before_last_step(self.wall)));
        format!("is signed by {}, anew at {again}", tags.join(" and "))
    }

    fn key(&self, text: &mut String, outlook: &Outlook) {
        let Outlook { tag, algorithm, stage, since, next, todo } = outlook;
        let _ = writeln!(text, "\nkey {tag} ({algorithm})  {}, since {}", stage.word(), minute(*since));
        if let Some((at, what)) = next {
            let _ = writeln!(text, "  next  {} (in {}): {what}", minute(*at), span(at.saturating_sub(self.wall)));
        }
        match todo {
            Some(todo) => drop(writeln!(text, "  DO    {todo}")),
            None if *stage != Stage::Active => drop(writeln!(text, "  do    nothing")),
            None => {}
        }
    }

    fn parent(&self, text: &mut String, parent: &Parent) {
        let keys: Vec<String> = self.of_keys(parent).iter().map(u16::to_string).collect();
        let ttl = span(parent.ttl);
        let _ = match keys.as_slice() {
            [] if parent.ds.is_empty() => writeln!(text, "\nparent {}  has no DS", parent.address),
            [] => writeln!(text, "\nparent {}  has no DS of a key of ours (TTL {ttl})", parent.address),
            keys => writeln!(text, "\nparent {}  has the DS of {} (TTL {ttl})", parent.address, keys.join(" and ")),
        };
        for stranger in parent.strangers(self.record, self.wall) {
            let _ = writeln!(text, "  BAD   {} is of no key in this zone: have it removed", presented(stranger));
        }
    }
}

/// DS as a zone file has it (RFC 4034 §5.3).
pub(super) fn presented(ds: &DS) -> String {
    let (algorithm, digest) = (u8::from(ds.algorithm()), u8::from(ds.digest_type()));
    format!("{} {algorithm} {digest} {}", ds.key_tag(), hex(ds.digest()))
}

pub(super) fn hex(octets: &[u8]) -> String {
    octets.iter().fold(String::new(), |mut text, octet| {
        let _ = write!(text, "{octet:02X}");
        text
    })
}

/// A time to the minute, in UTC.
fn minute(time: Duration) -> String {
    let text = rfc3339(time);
    format!("{} {}Z", &text[..10], &text[11..16])
}

/// How long, in the two largest units.
fn span(length: Duration) -> String {
    let minutes = length.as_secs().div_ceil(60);
    match (minutes / 1_440, minutes / 60 % 24, minutes % 60) {
        (0, 0, minutes) => format!("{minutes} min"),
        (0, hours, minutes) => format!("{hours} h {minutes} min"),
        (days, hours, _) => format!("{days} d {hours} h"),
    }
}
