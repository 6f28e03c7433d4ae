//! A report for the terminal: aligned tables, the most important first, no line wider than a hundred columns.

use super::tables::{self, Table};
use super::words::{count, milliseconds, minute, span};
use super::{Report, steering};

/// Columns of a line at most.
const WIDTH: usize = 100;
/// Between two columns.
const GAP: usize = 2;
/// What a column is not narrowed below.
const COLUMN_MIN: usize = 8;

/// The whole report.
#[must_use]
pub fn text(report: &Report) -> String {
    let mut text = head(report);
    let mut tables = vec![tables::hostnames(report)];
    if !report.faults.is_empty() {
        tables.push(tables::faults(report));
    }
    tables.extend([tables::regions(report), tables::places(report), tables::amplification(report)]);
    if tables::residency(report).rows.is_empty() && report.residency.outside == 0 {
        // Nobody has asked.
    } else {
        tables.push(tables::residency(report));
    }
    tables.extend(steering::table(report));
    if report.invariants.iter().any(|invariant| invariant.broken > 0) {
        tables.push(tables::invariants(report));
    }
    for table in tables {
        text.push('\n');
        text += &drawn(&table);
    }
    if let Some(run) = &report.run {
        let speed = run.times_real_time;
        let (events, wall) = (count(run.events), milliseconds(run.wall_ms));
        text += &format!("\n{events} events in {wall}: {speed:.0} times real time.\n");
    }
    text
}

/// What was simulated, and the verdict.
fn head(report: &Report) -> String {
    let mut text = format!(
        "{} with {}, seed {}: {} from {}, {} clients\n",
        report.scenario,
        report.configuration,
        report.seed,
        span(report.lasts_s),
        minute(&report.starts),
        count(report.clients)
    );
    text += &format!("{}\n", super::words::verdict(report));
    for failure in report.failures() {
        for (at, line) in wrapped(&failure, WIDTH - 4).into_iter().enumerate() {
            text += &format!("  {} {line}\n", if at == 0 { "✗" } else { " " });
        }
    }
    text
}

/// A table with its title.
#[must_use]
pub fn drawn(table: &Table) -> String {
    let mut text = format!("{}\n", table.title.to_uppercase());
    let widths = widths(table);
    if table.rows.is_empty() {
        text += &format!("  {}\n", if table.note.is_empty() { "nothing" } else { &table.note });
        return text;
    }
    let names: Vec<String> = table.columns.iter().map(|(name, _)| name.clone()).collect();
    text += &line(table, &widths, &names, " ");
    for row in &table.rows {
        text += &line(table, &widths, &row.cells, if row.is_bad { "!" } else { " " });
    }
    for line in wrapped(&table.note, WIDTH - 2) {
        text += &format!("  {line}\n");
    }
    text
}

/// A row: in one line, or in more where a cell is too wide for its column.
fn line(table: &Table, widths: &[usize], cells: &[String], mark: &str) -> String {
    let cells: Vec<Vec<String>> = cells.iter().zip(widths).map(|(cell, width)| wrapped(cell, *width)).collect();
    let lines = cells.iter().map(Vec::len).max().unwrap_or_default().max(1);
    let mut text = String::new();
    for at in 0..lines {
        let mut line = format!("{} ", if at == 0 { mark } else { " " });
        for ((cell, width), (_, is_number)) in cells.iter().zip(widths).zip(&table.columns) {
            let words = cell.get(at).map_or("", String::as_str);
            let blank = " ".repeat(width - words.chars().count().min(*width));
            line += &if *is_number { format!("{blank}{words}") } else { format!("{words}{blank}") };
            line += &" ".repeat(GAP);
        }
        text += line.trim_end();
        text.push('\n');
    }
    text
}

/// As wide as what is in it; where that is too much, the widest columns of words give way.
fn widths(table: &Table) -> Vec<usize> {
    let of = |at: usize| {
        let cells = table.rows.iter().filter_map(|row| row.cells.get(at)).map(|cell| cell.chars().count());
        cells.max().unwrap_or_default().max(table.columns[at].0.chars().count())
    };
    let mut widths: Vec<usize> = (0..table.columns.len()).map(of).collect();
    let room = WIDTH - 2 - GAP * widths.len().saturating_sub(1);
    while widths.iter().sum::<usize>() > room {
        let is_words = |at: &usize| !table.columns[*at].1;
        let widest = (0..widths.len()).max_by_key(|at| (widths[*at] + if is_words(at) { 12 } else { 0 }, is_words(at)));
        match widest.filter(|at| widths[*at] > COLUMN_MIN) {
            Some(at) => widths[at] -= 1,
            None => break,
        }
    }
    widths
}

/// Lines no wider than `width`, broken at spaces, and inside a word only where it is wider by itself.
fn wrapped(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split(' ').filter(|word| !word.is_empty()) {
        let mut rest: Vec<char> = word.chars().collect();
        loop {
            let has_room = lines.last().is_some_and(|line| line.chars().count() + 1 + rest.len() <= width);
            if has_room && let Some(last) = lines.last_mut() {
                last.push(' ');
                last.extend(rest);
                break;
            }
            let more = rest.split_off(rest.len().min(width.max(1)));
            lines.push(rest.into_iter().collect());
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_line_is_wider_than_a_terminal_and_no_word_is_lost() {
        let mut table = Table::new("Faults", "a note ".repeat(30).trim(), &["Fault", "#Noticed", "Where"]);
        table.row(true, vec!["a long fault in many words ".repeat(5), "1.2 s".to_owned(), "x".repeat(150)]);
        table.row(false, vec!["short".to_owned(), "900 ms".to_owned(), "here".to_owned()]);
        let text = drawn(&table);
        assert!(text.lines().all(|line| line.chars().count() <= WIDTH), "{text}");
        assert_eq!(text.matches("words").count(), 5, "{text}");
        assert_eq!(text.matches('x').count(), 150, "{text}");
        assert!(text.lines().nth(2).is_some_and(|line| line.starts_with('!')), "what is bad is marked: {text}");
    }

    #[test]
    fn numbers_end_below_each_other() {
        let mut table = Table::new("t", "", &["Name", "#Count"]);
        table.row(false, vec!["a".to_owned(), "5".to_owned()]);
        table.row(false, vec!["bbbbbb".to_owned(), "1 234".to_owned()]);
        let text = drawn(&table);
        let ends: Vec<usize> = text.lines().skip(1).map(|line| line.chars().count()).collect();
        assert!(ends.windows(2).all(|pair| pair[0] == pair[1]), "{text}");
    }
}
