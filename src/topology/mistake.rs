//! What is wrong with a file, drawn at its line.
//!
//! A [`Mistake`] has a place, what is wrong there, and what would be right. [`Mistakes`] are all of one file, for
//! people ([`Mistakes::render`]) and for programs ([`Mistakes::rows`]).

use crate::limits::MISTAKES_MAX;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

/// Longest excerpt of one line that is drawn, octets.
const EXCERPT_BYTES_MAX: usize = 400;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, serde::Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Gravity {
    /// The file is refused.
    Error,
    /// The file is taken, but something in it cannot do what was hoped.
    Warning,
}

/// One thing wrong with the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistake {
    /// Whether the file is refused for it.
    pub gravity: Gravity,
    /// Where, in octets of the text.
    pub span: Range<usize>,
    /// What is wrong: lower case, names the thing and its value.
    pub title: String,
    /// What is said at the place itself.
    pub label: String,
    /// What would be right.
    pub help: String,
    /// Another place that matters, and what is there: the first of two that collide.
    pub also: Option<(Range<usize>, String)>,
}

impl Mistake {
    /// Something for which the file is refused.
    pub fn error(
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { gravity: Gravity::Error, span, title: title.into(), label: label.into(), help: help.into(), also: None }
    }

    /// Something that is taken, and told.
    pub fn warning(
        span: Range<usize>,
        title: impl Into<String>,
        label: impl Into<String>,
        help: impl Into<String>,
    ) -> Self {
        Self { gravity: Gravity::Warning, ..Self::error(span, title, label, help) }
    }

    /// With a second place.
    #[must_use]
    pub fn and(mut self, span: Range<usize>, label: &str) -> Self {
        self.also = Some((span, label.to_owned()));
        self
    }
}

/// A mistake without its drawing, for programs.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Row {
    /// How bad it is.
    pub gravity: Gravity,
    /// Line, from 1.
    pub line: usize,
    /// Character in the line, from 1.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What would be right.
    pub help: String,
}

/// All that is wrong with one file, in the order of its lines, at most [`MISTAKES_MAX`] of each gravity.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mistakes {
    path: String,
    source: Arc<str>,
    list: Vec<Mistake>,
    untold: usize,
}

impl Mistakes {
    /// The mistakes found in `source`, which was read from `path`.
    #[must_use]
    pub fn new(path: &str, source: &str, mut list: Vec<Mistake>) -> Self {
        for mistake in &mut list {
            mistake.span = within(source, &mistake.span);
            if let Some((span, _)) = &mut mistake.also {
                *span = within(source, span);
            }
        }
        list.sort_by_key(|mistake| (mistake.span.start, mistake.gravity));
        list.dedup();
        let found = list.len();
        let (mut errors, mut warnings) = (0, 0);
        list.retain(|mistake| {
            let count = if mistake.gravity == Gravity::Error { &mut errors } else { &mut warnings };
            *count += 1;
            *count <= MISTAKES_MAX
        });
        let untold = found - list.len();
        Self { path: path.to_owned(), source: source.into(), list, untold }
    }

    /// Whether there is nothing to tell.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many are told.
    #[must_use]
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// Each, in the order of the lines.
    pub fn iter(&self) -> std::slice::Iter<'_, Mistake> {
        self.list.iter()
    }

    /// Each without its drawing: line, column, what is wrong, what would be right.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        // The list is in order, so lines are counted once.
        let (mut line, mut counted) = (1, 0);
        let mut rows = Vec::with_capacity(self.list.len());
        for mistake in &self.list {
            let start = mistake.span.start;
            line += newlines(&self.source[counted..start]);
            counted = start;
            let column = self.source[line_start(&self.source, start)..start].chars().count() + 1;
            let (message, help) = (mistake.title.clone(), mistake.help.clone());
            rows.push(Row { gravity: mistake.gravity, line, column, message, help });
        }
        rows
    }

    /// Each drawn at its line as a compiler does, with colours for a terminal if `color`.
    #[must_use]
    pub fn render(&self, color: bool) -> String {
        let renderer = if color { Renderer::styled() } else { Renderer::plain() };
        let mut text = String::new();
        for mistake in &self.list {
            text.push_str(&renderer.render(&self.draw(mistake)));
            text.push_str("\n\n");
        }
        if self.untold > 0 {
            text.push_str(&format!("and {} more like these\n", self.untold));
        }
        text
    }

    fn draw<'a>(&'a self, mistake: &'a Mistake) -> Vec<Group<'a>> {
        let level = match mistake.gravity {
            Gravity::Error => Level::ERROR,
            Gravity::Warning => Level::WARNING,
        };
        let primary = self.excerpt(&mistake.span, AnnotationKind::Primary, &mistake.label);
        let mut group = level.primary_title(mistake.title.as_str()).element(primary);
        if let Some((span, label)) = &mistake.also {
            group = group.element(self.excerpt(span, AnnotationKind::Context, label));
        }
        if !mistake.help.is_empty() {
            group = group.element(Level::HELP.message(mistake.help.as_str()));
        }
        vec![group]
    }

    /// The one line in which `span` begins, so that a drawing costs the same in a file of any length.
    fn excerpt<'a>(
        &'a self,
        span: &Range<usize>,
        kind: AnnotationKind,
        label: &'a str,
    ) -> Snippet<'a, annotate_snippets::Annotation<'a>> {
        let first = line_start(&self.source, span.start);
        let mut last = self.source[first..].find('\n').map_or(self.source.len(), |at| first + at);
        if last > first && self.source.as_bytes()[last - 1] == b'\r' && span.start < last {
            last -= 1;
        }
        let from = boundary(&self.source, first.max(span.start.saturating_sub(EXCERPT_BYTES_MAX / 2)));
        let last = boundary(&self.source, last.min(from + EXCERPT_BYTES_MAX)).max(span.start);
        let (start, end) = (span.start - from, span.end.clamp(span.start, last.max(span.start)) - from);
        Snippet::source(&self.source[from..last])
            .line_start(1 + newlines(&self.source[..first]))
            .path(self.path.as_str())
            .annotation(kind.span(start..end).label(label))
    }
}

impl fmt::Display for Mistakes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.render(false).trim_end())
    }
}

impl std::error::Error for Mistakes {}

impl serde::Serialize for Mistakes {
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.rows().serialize(serializer)
    }
}

fn newlines(text: &str) -> usize {
    text.bytes().filter(|byte| *byte == b'\n').count()
}

fn line_start(source: &str, at: usize) -> usize {
    source[..at].rfind('\n').map_or(0, |newline| newline + 1)
}

/// The nearest character boundary at or before `at`.
fn boundary(source: &str, at: usize) -> usize {
    source.floor_char_boundary(at)
}

fn within(source: &str, span: &Range<usize>) -> Range<usize> {
    let start = boundary(source, span.start);
    start..boundary(source, span.end.max(start)).max(start)
}
