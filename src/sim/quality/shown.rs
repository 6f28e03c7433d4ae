//! The figures as a table for a terminal, 120 columns wide.

use super::{Extra, Knows, OfCase, OfWay, Quality};
use crate::topology::Steering;
use std::fmt::{self, Display, Formatter, Write};

impl Display for Quality {
    /// One block for each hostname: a row for each case, first for clients that dial regions, then through the door. `*`
    /// is before the case that is what the file says.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let millions = self.people / 1_000_000;
        let cities = self.cities;
        let sites = match self.sites.len() {
            0..=3 => self.sites.join(", "),
            many => format!("{many} sites"),
        };
        writeln!(f, "Extra round trip against the best choice, ms; {cities} cities, {millions} million people")?;
        for hostname in &self.hostnames {
            let (name, regions) = (&hostname.hostname, hostname.regions);
            let [best, detour] = [hostname.best_mean_us, hostname.detour_mean_us].map(millis);
            writeln!(f, "\n{name}, {regions} regions")?;
            head(f, &format!("straight to a region, {best} ms at best"))?;
            hostname.cases.iter().try_for_each(|case| row(f, case, &case.straight))?;
            head(f, &format!("through the door ({sites}), {detour} ms more at best"))?;
            hostname.cases.iter().try_for_each(|case| row(f, case, &case.door))?;
        }
        Ok(())
    }
}

/// What stands above the rows of one way.
fn head(f: &mut Formatter<'_>, way: &str) -> fmt::Result {
    writeln!(f, "  {way}")?;
    let columns = format!("{:<9} {:<8} {:<5}", "steering", "place", "times");
    writeln!(
        f,
        "    {columns} {:>6} {:>6} {:>6} {:>6}  {:<38} {:>8}  without",
        "mean", "median", "99 %", "best", "worst", "one gone"
    )
}

fn row(f: &mut Formatter<'_>, case: &OfCase, way: &OfWay) -> fmt::Result {
    let mark = if case.case.is_as_written { '*' } else { ' ' };
    let steering = match case.case.steering {
        Steering::Nearest => "nearest",
        Steering::Latency => "latency",
        Steering::Priority => "priority",
        Steering::Weighted => "weighted",
    };
    let place = match case.case.place {
        _ if case.case.steering != Steering::Nearest => "any",
        Knows::Database => "database",
        Knows::Truth => "true",
    };
    let times = if case.case.is_measured { "yes" } else { "no" };
    let Extra { mean_us, median_us, p99_us, best_percent, .. } = way.all_up;
    let [mean, median, p99] = [mean_us, median_us, p99_us].map(millis);
    let worst = worst(&way.all_up);
    let mut line = format!("  {mark} {steering:<9} {place:<8} {times:<5} {mean:>6} {median:>6} {p99:>6} ");
    write!(line, "{best_percent:>4} %  {worst:<38} {:>8}", millis(way.one_gone_mean_us))?;
    if let Some(gone) = &way.one_gone_worst {
        let without = millis(gone.extra.mean_us);
        if gone.extra.mean_us > mean_us && without != mean {
            write!(line, "  {without:>5} {}", gone.region)?;
        }
    }
    writeln!(f, "{}", line.trim_end())
}

/// `182.3 Perth, AU: dfw, not sin`.
fn worst(extra: &Extra) -> String {
    let Some(worst) = &extra.worst else { return String::new() };
    format!("{:>5} {}: {}, not {}", millis(worst.extra_us), worst.city, worst.gets, worst.best)
}

/// Milliseconds with one digit, rounded to the nearest.
fn millis(us: u64) -> String {
    let tenths = (us + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_and_not_cut() {
        assert_eq!([0, 49, 50, 1_949, 1_950, 291_000].map(millis), ["0.0", "0.0", "0.1", "1.9", "2.0", "291.0"]);
    }
}
