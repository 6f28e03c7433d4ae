//! Figures and columns of the terminal view: short, and never wider than they may be.

use std::collections::VecDeque;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A column of a table.
pub struct Column {
    /// Its head.
    pub head: &'static str,
    /// How wide it is at least.
    pub width: u16,
    /// Whether it stands right.
    pub is_number: bool,
    /// How soon it is left out; 0: never.
    pub leaves: u8,
}

/// A column of words.
#[must_use]
pub const fn column(head: &'static str, width: u16, leaves: u8) -> Column {
    Column { head, width, is_number: false, leaves }
}

/// A column of numbers.
#[must_use]
pub const fn number(head: &'static str, width: u16, leaves: u8) -> Column {
    Column { head, width, is_number: true, leaves }
}

/// Which columns fit into `width`, and how wide each is. What is left goes to the last.
#[must_use]
pub fn fitting(columns: &[Column], width: u16) -> Vec<(usize, u16)> {
    fitting_at(columns, width, columns.len() - 1)
}

/// As [`fitting`], but what is left goes to the column at `wide`.
#[must_use]
pub fn fitting_at(columns: &[Column], width: u16, wide: usize) -> Vec<(usize, u16)> {
    let mut shown: Vec<usize> = (0..columns.len()).collect();
    let needed = |shown: &[usize]| shown.iter().map(|at| columns[*at].width + 1).sum::<u16>().saturating_sub(1);
    while needed(&shown) > width {
        let leaves = shown.iter().copied().filter(|at| columns[*at].leaves > 0).max_by_key(|at| columns[*at].leaves);
        let Some(leaves) = leaves else { break };
        shown.retain(|at| *at != leaves);
    }
    let left = width.saturating_sub(needed(&shown));
    shown.into_iter().map(|at| (at, columns[at].width + if at == wide { left } else { 0 })).collect()
}

/// At most `width` characters of a text.
#[must_use]
pub fn shortened(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).collect()
}

/// An age in at most five characters.
#[must_use]
pub fn age(seconds: f64) -> String {
    match seconds {
        ..10.0 => format!("{seconds:.1}s"),
        ..60.0 => format!("{:.0}s", seconds.floor()),
        ..3_600.0 => format!("{:.0}m", (seconds / 60.0).floor()),
        ..172_800.0 => format!("{:.0}h", (seconds / 3_600.0).floor()),
        _ => format!("{:.0}d", (seconds / 86_400.0).floor()),
    }
}

/// A rate in at most six characters.
#[must_use]
pub fn rate(per_second: f64) -> String {
    match per_second {
        ..=0.0 => "0".to_owned(),
        ..100.0 => format!("{per_second:.1}"),
        ..100_000.0 => format!("{per_second:.0}"),
        _ => format!("{:.0}k", per_second / 1_000.0),
    }
}

/// The time of a probe, if there is one.
#[must_use]
pub fn round_trip(milliseconds: Option<f64>) -> String {
    milliseconds
        .map_or_else(|| "-".to_owned(), |ms| if ms < 10.0 { format!("{ms:.1}ms") } else { format!("{ms:.0}ms") })
}

/// A time in at most six characters.
#[must_use]
pub fn milliseconds(ms: f64) -> String {
    match ms {
        ..10.0 => format!("{ms:.1}ms"),
        ..10_000.0 => format!("{ms:.0}ms"),
        _ => format!("{:.0}s", ms / 1_000.0),
    }
}

/// The last `width` values as bars, scaled to `most` or to their own largest.
#[must_use]
pub fn sparkline(trend: &VecDeque<f64>, width: usize, most: Option<f64>) -> String {
    let most = most.unwrap_or_else(|| trend.iter().copied().fold(0.0, f64::max));
    let bar = |value: &f64| {
        if *value <= 0.0 || most <= 0.0 {
            return ' ';
        }
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 7")]
        let height = ((value / most * 8.0).ceil() as usize).clamp(1, 8) - 1;
        BARS[height]
    };
    let bars: String = trend.iter().skip(trend.len().saturating_sub(width)).map(bar).collect();
    format!("{bars:>width$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_important_columns_leave_first() {
        let columns = [column("a", 4, 0), column("b", 4, 1), column("c", 4, 2), column("d", 4, 0)];
        assert_eq!(fitting(&columns, 20), [(0, 4), (1, 4), (2, 4), (3, 5)]);
        assert_eq!(fitting(&columns, 18), [(0, 4), (1, 4), (3, 8)]);
        assert_eq!(fitting(&columns, 9), [(0, 4), (3, 4)]);
        assert_eq!(fitting(&columns, 3), [(0, 4), (3, 4)]);
    }

    #[test]
    fn figures_are_short() {
        for (seconds, text) in
            [(0.0, "0.0s"), (9.94, "9.9s"), (59.9, "59s"), (3_599.0, "59m"), (7_200.0, "2h"), (1e6, "11d")]
        {
            assert_eq!(age(seconds), text);
        }
        for (per_second, text) in [(0.0, "0"), (0.25, "0.2"), (99.94, "99.9"), (1_234.0, "1234"), (1e6, "1000k")] {
            assert_eq!(rate(per_second), text);
        }
        assert_eq!(
            (round_trip(None), round_trip(Some(1.25)), milliseconds(87.6)),
            ("-".into(), "1.2ms".into(), "88ms".into())
        );
        assert_eq!(sparkline(&VecDeque::from([0.0, 1.0, 8.0]), 5, None), "   ▁█");
        assert_eq!(sparkline(&VecDeque::from([f64::NAN]), 2, None).chars().count(), 2);
        assert_eq!((shortened("abcd", 3), shortened("abc", 3)), ("ab…".to_owned(), "abc".to_owned()));
    }
}
