//! Badges: how everything, a region or a hostname is, as a small picture for other people's pages. Pure.

use super::page::color;
use super::page::marks::shape;
use crate::history::story::Level;
use maud::{PreEscaped, html};

/// Characters of a name that are shown.
const NAME_MAX: usize = 48;
/// Height, and room beside text.
const HEIGHT: f64 = 22.0;
const ROOM: f64 = 8.0;

/// About how wide a text is at 11 px in a common font; the picture is then drawn to exactly this width.
fn width(text: &str) -> f64 {
    let of = |c: char| match c {
        'i' | 'l' | 'j' | '.' | ',' | '\'' | '|' | ':' | ' ' => 3.6,
        'f' | 't' | 'r' | '-' => 4.6,
        'm' | 'w' | 'M' | 'W' => 9.6,
        c if c.is_ascii_uppercase() => 7.8,
        c if c.is_ascii() => 6.5,
        _ => 10.0,
    };
    text.chars().map(of).sum::<f64>().max(1.0).round()
}

/// A badge that says how `name` is.
#[must_use]
pub fn badge(name: &str, level: Level) -> String {
    let shown: String = name.chars().take(NAME_MAX).collect();
    let words = level.words().to_lowercase();
    let (left, right) = (width(&shown), width(&words));
    let (split, all) = (left + ROOM * 2.0, left + right + ROOM * 4.0 + 15.0);
    let label = format!("{shown}: {words}");
    let glyph = shape(level)
        .replace("class=\"in\"", &format!("stroke=\"{}\"", color(level)))
        .replace("class=\"hollow\"", "stroke=\"#fff\"")
        .replace("class=\"mark\"", "stroke=\"#fff\"");
    let drawn = html! {
        svg xmlns="http://www.w3.org/2000/svg" width=(all) height=(HEIGHT) viewBox={"0 0 " (all) " " (HEIGHT)} role="img" aria-label=(label) {
            title { (label) }
            rect width=(all) height=(HEIGHT) rx="5" fill="#2b3038" {}
            path d={"M" (split) " 0H" (all - 5.0) "a5 5 0 0 1 5 5V17a5 5 0 0 1-5 5H" (split) "z"} fill=(color(level)) {}
            g transform={"translate(" (split + ROOM + 5.0) " 11) scale(.62)"} fill="#fff" { (PreEscaped(glyph)) }
            g fill="#fff" font-family="Verdana,DejaVu Sans,Geneva,sans-serif" font-size="11" lengthAdjust="spacingAndGlyphs" {
                text x=(ROOM) y="15" textLength=(left) { (shown) }
                text x=(split + ROOM + 15.0) y="15" textLength=(right) { (words) }
            }
        }
    };
    drawn.into_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_badge_says_its_level_in_words_and_escapes_its_name() {
        let drawn = badge("<script>\"&", Level::Major);
        assert!(drawn.contains("&lt;script&gt;&quot;&amp;: outage") && !drawn.contains("<script>"), "{drawn}");
        assert!(badge(&"x".repeat(9_000), Level::Unknown).len() < 2_000);
    }
}
