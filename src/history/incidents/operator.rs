//! What operators write: incidents of their own, updates to any, and maintenance.
//!
//! Text is text: nobody who shows it takes it for markup, and nothing in it can end a header or command a terminal.

use super::{Course, Incidents, Kept};
use crate::history::story::{Impact, Incident, Phase, Subject};
use crate::moment::Moment;
use std::collections::BTreeMap;
use std::time::Duration;

/// Longest title, characters: a line of a feed or the subject of a mail.
pub const TITLE_CHARACTERS_MAX: usize = 120;
/// Longest text, octets: some three pages.
pub const TEXT_BYTES_MAX: usize = 8 << 10;
/// Regions and hostnames that one incident is about, at most.
pub const SUBJECTS_MAX: usize = 256;
/// Incidents and maintenance of operators that are not over, at most.
pub const OPEN_MAX: usize = 100;
/// Updates of one incident, at most.
pub const UPDATES_BY_OPERATOR_MAX: usize = 500;
/// Longest maintenance.
pub const WINDOW_MAX: Duration = Duration::from_secs(31 * 86_400);
/// How far ahead a maintenance is announced at most.
pub const AHEAD_MAX: Duration = Duration::from_secs(366 * 86_400);

/// What an operator wants written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writing {
    /// A new incident.
    Open {
        /// One line.
        title: String,
        /// Its first update.
        text: String,
        /// How bad; nothing: minor.
        impact: Option<Impact>,
        /// Where it is; nothing: investigating.
        phase: Option<Phase>,
        /// What it is about.
        subjects: Vec<Subject>,
    },
    /// An update. One that says resolved ends it.
    Update {
        /// Of which.
        id: String,
        /// What it came to; nothing: as it was.
        phase: Option<Phase>,
        /// How bad it is at its worst; nothing: as it was.
        impact: Option<Impact>,
        /// What is new.
        text: String,
    },
    /// What was learnt.
    PostMortem {
        /// Of which; it has to be over.
        id: String,
        /// What.
        text: String,
    },
    /// A maintenance.
    Schedule {
        /// One line.
        title: String,
        /// What will be done.
        text: String,
        /// What it is about.
        subjects: Vec<Subject>,
        /// From when, since the Unix epoch.
        from: Duration,
        /// Until when.
        until: Duration,
    },
    /// Another time for a maintenance.
    Move {
        /// Which.
        id: String,
        /// From when; nothing: as it was. Not once it has begun.
        from: Option<Duration>,
        /// Until when; nothing: as it was.
        until: Option<Duration>,
        /// Why.
        text: String,
    },
    /// The end of a maintenance before its time.
    Cancel {
        /// Which.
        id: String,
        /// Why.
        text: String,
    },
}

/// Why it is not written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// There is none.
    #[error("there is no incident or maintenance {0:?}; GET /incidents lists them")]
    NotFound(String),
    /// A title that is none.
    #[error("the title {0}")]
    Title(String),
    /// A text that is none.
    #[error("the text {0}")]
    Text(String),
    /// Something it is about does not exist.
    #[error("{0}")]
    Subject(String),
    /// It cannot be done to what is there.
    #[error("{0}")]
    Unfit(String),
    /// More than there may be.
    #[error("{0}")]
    TooMany(String),
}

impl Writing {
    /// Whether its words can be written at all.
    ///
    /// # Errors
    /// What is wrong with them.
    pub fn check(&self) -> Result<(), Refusal> {
        let (title, text) = match self {
            Self::Open { title, text, .. } | Self::Schedule { title, text, .. } => (Some(title), text),
            Self::Update { text, .. }
            | Self::PostMortem { text, .. }
            | Self::Move { text, .. }
            | Self::Cancel { text, .. } => (None, text),
        };
        title.map(|title| checked_title(title)).transpose()?;
        checked_text(text.clone()).map(drop)
    }

    /// Which incident or maintenance it is about, unless it makes one.
    #[must_use]
    pub fn id(&self) -> Option<&str> {
        match self {
            Self::Open { .. } | Self::Schedule { .. } => None,
            Self::Update { id, .. } | Self::PostMortem { id, .. } | Self::Move { id, .. } | Self::Cancel { id, .. } => {
                Some(id)
            }
        }
    }
}

impl Incidents {
    /// Writes what an operator wants. `known` is everything that there is to write about.
    ///
    /// # Errors
    /// Why nothing changed.
    pub fn write(
        &mut self,
        now: Moment,
        wall: Duration,
        writing: Writing,
        known: &[Subject],
    ) -> Result<Incident, Refusal> {
        let wall = super::whole(wall);
        let at = match writing {
            Writing::Open { title, text, impact, phase, subjects } => {
                let phase = phase.unwrap_or(Phase::Investigating);
                if !matches!(phase, Phase::Investigating | Phase::Identified | Phase::Monitoring) {
                    return Err(Refusal::Unfit(format!("no incident can begin as {}", phase.as_str())));
                }
                let impact = impact.unwrap_or(Impact::Minor);
                self.new_one(now, wall, (title, text), (impact, phase), (subjects, None), known)?
            }
            Writing::Schedule { title, text, subjects, from, until } => {
                check_window(wall, from, until)?;
                let kind = (Impact::Maintenance, Phase::Scheduled);
                self.new_one(now, wall, (title, text), kind, (subjects, Some((from, until))), known)?
            }
            Writing::Update { id, phase, impact, text } => self.add(now, wall, &id, phase, impact, text)?,
            Writing::PostMortem { id, text } => {
                let at = self.find(&id)?;
                let text = checked_text(text)?;
                let incident = &mut self.courses[at].kept.incident;
                if !incident.phase.is_over() {
                    return Err(Refusal::Unfit("it is not over yet: a post-mortem is written afterwards".to_owned()));
                }
                incident.post_mortem = Some(text);
                at
            }
            Writing::Move { id, from, until, text } => self.move_window(wall, &id, from, until, text)?,
            Writing::Cancel { id, text } => {
                let at = self.find(&id)?;
                let text = checked_text(text)?;
                let incident = &self.courses[at].kept.incident;
                if !incident.is_maintenance() {
                    return Err(Refusal::Unfit("it is no maintenance: resolve it instead".to_owned()));
                }
                if incident.phase.is_over() {
                    return Err(Refusal::Unfit("it is over already".to_owned()));
                }
                self.put(at, wall, Phase::Completed, text)?;
                at
            }
        };
        let incident = self.courses[at].kept.incident.clone();
        self.changed.insert(incident.id.clone());
        Ok(incident)
    }

    fn find(&self, id: &str) -> Result<usize, Refusal> {
        let found = self.courses.iter().position(|course| course.kept.incident.id == id);
        found.ok_or_else(|| Refusal::NotFound(id.chars().filter(|c| !c.is_control()).take(64).collect()))
    }

    fn new_one(
        &mut self,
        now: Moment,
        wall: Duration,
        (title, text): (String, String),
        (impact, phase): (Impact, Phase),
        (subjects, window): (Vec<Subject>, Option<(Duration, Duration)>),
        known: &[Subject],
    ) -> Result<usize, Refusal> {
        let (title, text) = (checked_title(&title)?, checked_text(text)?);
        let subjects = checked_subjects(subjects, known)?;
        let is_open = |course: &&Course| !course.kept.incident.is_automatic && !course.kept.incident.phase.is_over();
        if self.courses.iter().filter(is_open).count() >= OPEN_MAX {
            return Err(Refusal::TooMany(format!("{OPEN_MAX} are open already: end some first")));
        }
        let update = self.update(wall, phase, text, true);
        let incident = Incident {
            id: self.id(wall),
            title,
            phase,
            impact,
            subjects,
            opened_at: wall,
            closed_at: None,
            window,
            is_automatic: false,
            updates: vec![update],
            post_mortem: None,
        };
        self.courses.push(Course {
            kept: Kept { incident, hold: super::CLOSES_AFTER, is_taken_over: true },
            well_since: None,
            began: wall,
            before: None,
            grew: now,
            written: now,
            is_from_before: false,
            opens_again_until: now,
            told: BTreeMap::new(),
        });
        Ok(self.courses.len() - 1)
    }

    fn add(
        &mut self,
        now: Moment,
        wall: Duration,
        id: &str,
        phase: Option<Phase>,
        impact: Option<Impact>,
        text: String,
    ) -> Result<usize, Refusal> {
        let at = self.find(id)?;
        let text = checked_text(text)?;
        let incident = &self.courses[at].kept.incident;
        if incident.phase.is_over() {
            return Err(Refusal::Unfit("it is over: open another, or write its post-mortem".to_owned()));
        }
        let phase = phase.unwrap_or(incident.phase);
        let is_of_maintenance = matches!(phase, Phase::Scheduled | Phase::InProgress | Phase::Completed);
        if incident.is_maintenance() != is_of_maintenance || incident.is_maintenance() && phase != incident.phase {
            let why = "a maintenance begins and ends by its times (move or cancel it); an incident is investigating, \
                       identified, monitoring or resolved";
            return Err(Refusal::Unfit(why.to_owned()));
        }
        self.put(at, wall, phase, text)?;
        let course = &mut self.courses[at];
        course.kept.is_taken_over = true;
        course.written = now;
        if let Some(impact) = impact.filter(|_| !course.kept.incident.is_maintenance()) {
            course.kept.incident.impact = impact;
        }
        if phase == Phase::Resolved {
            // What fails still is what the operator has called resolved: it is news only after it was well.
            self.muted.extend(self.courses[at].kept.incident.subjects.iter().cloned());
        }
        Ok(at)
    }

    fn move_window(
        &mut self,
        wall: Duration,
        id: &str,
        from: Option<Duration>,
        until: Option<Duration>,
        text: String,
    ) -> Result<usize, Refusal> {
        let at = self.find(id)?;
        let text = checked_text(text)?;
        let incident = &self.courses[at].kept.incident;
        let Some(window) = incident.window.filter(|_| !incident.phase.is_over()) else {
            return Err(Refusal::Unfit("it is no maintenance that could be moved".to_owned()));
        };
        if incident.phase == Phase::InProgress && from.is_some_and(|from| from != window.0) {
            return Err(Refusal::Unfit("it has begun: only its end can be moved".to_owned()));
        }
        let moved = (from.unwrap_or(window.0), until.unwrap_or(window.1));
        check_window(wall, moved.0, moved.1)?;
        let phase = incident.phase;
        self.put(at, wall, phase, text)?;
        self.courses[at].kept.incident.window = Some(moved);
        Ok(at)
    }

    fn put(&mut self, at: usize, wall: Duration, phase: Phase, text: String) -> Result<(), Refusal> {
        if self.courses[at].kept.incident.updates.len() >= UPDATES_BY_OPERATOR_MAX {
            let why = format!("it has {UPDATES_BY_OPERATOR_MAX} updates already: end it, and open another");
            return Err(Refusal::TooMany(why));
        }
        let update = self.update(wall, phase, text, true);
        let incident = &mut self.courses[at].kept.incident;
        incident.phase = phase;
        incident.closed_at = phase.is_over().then_some(wall);
        incident.updates.push(update);
        Ok(())
    }
}

fn check_window(wall: Duration, from: Duration, until: Duration) -> Result<(), Refusal> {
    let unfit = |why: &str| Err(Refusal::Unfit(why.to_owned()));
    match () {
        () if until <= from => unfit("a maintenance ends after it begins"),
        () if until <= wall => unfit("that maintenance would be over already"),
        () if until - from > WINDOW_MAX => unfit("a maintenance takes at most 31 days"),
        () if from > wall + AHEAD_MAX => unfit("a maintenance is announced at most a year ahead"),
        () => Ok(()),
    }
}

fn checked_subjects(mut subjects: Vec<Subject>, known: &[Subject]) -> Result<Vec<Subject>, Refusal> {
    subjects.sort();
    subjects.dedup();
    if subjects.len() > SUBJECTS_MAX {
        return Err(Refusal::TooMany(format!("an incident is about at most {SUBJECTS_MAX} regions and hostnames")));
    }
    match subjects.iter().find(|subject| !known.contains(subject)) {
        Some(unknown) => Err(Refusal::Subject(format!("there is no {:?} here", unknown.to_string()))),
        None => Ok(subjects),
    }
}

/// What neither shows itself nor leaves what is around it as it is: controls, and what turns the direction of text.
fn is_unseemly(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}')
}

fn checked_title(title: &str) -> Result<String, Refusal> {
    let title = title.trim_matches(' ');
    if title.is_empty() {
        return Err(Refusal::Title("is empty".to_owned()));
    }
    if title.chars().count() > TITLE_CHARACTERS_MAX {
        return Err(Refusal::Title(format!("is longer than {TITLE_CHARACTERS_MAX} characters")));
    }
    match title.chars().find(|c| is_unseemly(*c)) {
        Some(c) => Err(Refusal::Title(format!("has the character {c:?}: it is one line of plain text"))),
        None => Ok(title.to_owned()),
    }
}

fn checked_text(text: String) -> Result<String, Refusal> {
    if text.trim().is_empty() {
        return Err(Refusal::Text("is empty: others want to know".to_owned()));
    }
    if text.len() > TEXT_BYTES_MAX {
        return Err(Refusal::Text(format!("is longer than {TEXT_BYTES_MAX} octets")));
    }
    match text.chars().find(|c| is_unseemly(*c) && !matches!(c, '\n' | '\t')) {
        Some(c) => Err(Refusal::Text(format!("has the character {c:?}: it is plain text, with line feeds"))),
        None => Ok(text),
    }
}
