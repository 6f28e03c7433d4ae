//! What the admin address says of headroom and of residency.

use super::super::findings::{Missing, document};
use super::super::query::parameters;
use super::{Answer, Desk, Refused, answer, json_answer, text, wants_text};
use crate::headroom;
use http::request::Parts;

impl Desk {
    /// What would be without any one region or provider; `without=`, as often as one likes: without all of these.
    pub(super) async fn headroom(&self, parts: &Parts) -> Result<Answer, Refused> {
        let query = parts.uri.query().unwrap_or_default();
        let is_text = wants_text(parts, query)?;
        let lost = parameters(query, "without");
        if lost.is_empty() {
            let headroom = self.findings.headroom();
            return Ok(if is_text { text(headroom::text::page(&headroom)) } else { json_answer(&*headroom) });
        }
        // Many steerings at once, and below a file: neither beside probes, which share this runtime.
        let (findings, snapshot) = (self.findings.clone(), self.published.load_full());
        let headroom = apart(move || findings.without(&snapshot, &lost)).await?;
        Ok(if is_text { text(headroom::text::plan(&headroom)) } else { json_answer(&headroom) })
    }

    pub(super) async fn residency(&self, path: &str, is_get: bool) -> Result<Answer, Refused> {
        if !is_get {
            return Err(Refused::method(path, "GET"));
        }
        let shelf = self.findings.shelf().map_err(Refused::from)?;
        match path.strip_prefix("/residency").map(|rest| rest.trim_start_matches('/')) {
            Some("") => Ok(json_answer(&shelf.index())),
            Some("key") => Ok(json_answer(&shelf.keys())),
            Some(rest) => {
                let (day, hostname) = rest.split_once('/').unwrap_or((rest, ""));
                let (day, hostname, wall) = (day.to_owned(), hostname.to_owned(), self.clock.wall());
                let document = apart(move || document(&shelf, &day, &hostname, wall)).await?;
                Ok(answer("application/json", document))
            }
            None => Err(Refused::new(404, format!("there is no {path:?} here; GET / tells what there is"))),
        }
    }
}

/// Does something that takes its time on a thread of its own.
async fn apart<T: Send + 'static>(work: impl FnOnce() -> Result<T, Missing> + Send + 'static) -> Result<T, Refused> {
    let worked = tokio::task::spawn_blocking(work).await;
    worked.map_err(|_| Refused::new(500, "what was asked for could not be computed"))?.map_err(Refused::from)
}

impl From<Missing> for Refused {
    fn from((status, text): Missing) -> Self {
        Self::new(status, text)
    }
}
