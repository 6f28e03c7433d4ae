//! How good steering is, as a table: what people lose against the best choice, for each hostname and each thing to know.

use super::Report;
use super::tables::{Row, Table};
use serde_json::Value;

/// The table; none if nobody measured.
#[must_use]
pub fn table(report: &Report) -> Option<Table> {
    let quality = report.quality.as_ref()?;
    let millions = quality["people"].as_u64()? / 1_000_000;
    let note = format!(
        "The round trip that people have more than with the best choice, ms: {} cities, {millions} million people. Straight: \
         who dials the region; door: by the nearest site, against the best from there. * is what the file says. Gone: the mean \
         without any one region, and without the worst.",
        quality["cities"]
    );
    let columns =
        ["Hostname", "Way", "Steering", "Knows", "#Mean", "#99 %", "#Best", "#Gone", "Worst without", "Loses most"];
    let mut table = Table::new("Steering quality", &note, &columns);
    for hostname in quality["hostnames"].as_array()? {
        let mut name = hostname["hostname"].as_str().unwrap_or_default();
        for way in ["straight", "door"] {
            for case in hostname["cases"].as_array().into_iter().flatten() {
                table.rows.push(Row { cells: cells(name, way, case), is_bad: false });
                // Said once is enough.
                name = "";
            }
        }
    }
    Some(table)
}

fn cells(hostname: &str, way: &str, case: &Value) -> Vec<String> {
    let of = &case[way];
    let up = &of["all_up"];
    let mark = if case["is_as_written"] == true { "*" } else { "" };
    let steering = format!("{}{mark}", case["steering"].as_str().unwrap_or_default());
    let times = if case["is_measured"] == true { ", times" } else { "" };
    let knows = format!("{}{times}", if case["place"] == "truth" { "places" } else { "database" });
    let gone = &of["one_gone_worst"];
    let without = gone["region"].as_str().map(|region| format!("{} {region}", millis(&gone["extra"]["mean_us"])));
    let worst = &up["worst"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let most = worst["city"].as_str().map(|city| {
        format!("{} {city}: {}, not {}", millis(&worst["extra_us"]), text(&worst["gets"]), text(&worst["best"]))
    });
    vec![
        hostname.to_owned(),
        way.to_owned(),
        steering,
        knows,
        millis(&up["mean_us"]),
        millis(&up["p99_us"]),
        format!("{} %", up["best_percent"]),
        millis(&of["one_gone_mean_us"]),
        without.unwrap_or_default(),
        most.unwrap_or_default(),
    ]
}

/// Milliseconds with one digit, rounded to the nearest.
fn millis(us: &Value) -> String {
    let tenths = (us.as_u64().unwrap_or_default() + 50) / 100;
    format!("{}.{}", tenths / 10, tenths % 10)
}
