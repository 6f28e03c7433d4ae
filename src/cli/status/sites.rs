//! The line about sites: how many answer, and by name those that do not.

use crate::status::sites::SiteView;

/// What to say of `sites`, if there are others to speak of.
#[must_use]
pub fn said(sites: &[SiteView]) -> Option<String> {
    let judged: Vec<&SiteView> = sites.iter().filter(|site| site.is_judged()).collect();
    let others: Vec<String> = judged.iter().filter(|site| site.standing != "up").map(|site| named(site)).collect();
    let up = judged.len() - others.len();
    match (judged.len(), others.is_empty()) {
        (0, _) => None,
        (all, true) => Some(format!("{all} of {all} other sites answer")),
        (all, false) => Some(format!("{up} of {all} other sites answer; {}", others.join("; "))),
    }
}

fn named(site: &SiteView) -> String {
    let reason = site.reason.as_ref().map(|reason| format!(" ({reason})")).unwrap_or_default();
    let fate = if site.left_out { ", left out of DNS" } else { "" };
    format!("{} is {}{reason}{fate}", site.name, site.standing)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_does_not_answer_is_named() {
        let site = |name: &str, standing: &str| SiteView {
            name: name.to_owned(),
            standing: standing.to_owned(),
            ..SiteView::default()
        };
        let here = site("lon-1", "here");
        assert_eq!(said(&[here.clone(), site("nyc-1", "shared")]), None);
        assert_eq!(said(&[here.clone(), site("nyc-1", "up")]).as_deref(), Some("1 of 1 other sites answer"));
        let down = SiteView { left_out: true, reason: Some("refused".to_owned()), ..site("syd-1", "down") };
        let told = said(&[here, site("nyc-1", "up"), down, site("sin-1", "unknown")]);
        let expected = "1 of 3 other sites answer; syd-1 is down (refused), left out of DNS; sin-1 is unknown";
        assert_eq!(told.as_deref(), Some(expected));
    }
}
