//! What a subscription is about.

use crate::history::story::{Incident, Subject};
use crate::limits::SUBSCRIPTION_SCOPES_MAX;
use crate::names::Hostname;
use crate::topology::Topology;

/// What is taken for "about everything" in a form.
pub const EVERYTHING: &str = "everything";

/// What a subscription is about: sorted, each once; empty is everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Scopes(Vec<Subject>);

impl Scopes {
    /// What a form says, of things that exist.
    ///
    /// # Errors
    /// What is wrong with it, for people.
    pub fn parse(words: &[String], topology: &Topology) -> Result<Self, String> {
        if words.len() > SUBSCRIPTION_SCOPES_MAX {
            return Err(format!("at most {SUBSCRIPTION_SCOPES_MAX} may be chosen, or everything"));
        }
        if words.iter().any(|word| word == EVERYTHING) {
            return Ok(Self::default());
        }
        let mut scopes = Vec::with_capacity(words.len());
        for word in words {
            // Not told again as it was written: it may be anything.
            let subject =
                Subject::parse(word).map_err(|_| "one is neither region:NAME nor hostname:NAME".to_owned())?;
            let exists = match &subject {
                Subject::Region(name) => topology.region_named(name).is_some(),
                Subject::Hostname(name) => {
                    Hostname::parse(name).is_ok_and(|name| topology.route_by_hostname.contains_key(&name))
                }
            };
            if !exists {
                return Err("one of them does not exist".to_owned());
            }
            scopes.push(subject);
        }
        scopes.sort();
        scopes.dedup();
        Ok(Self(scopes))
    }

    /// Those that were kept; what cannot be read is everything, because telling too much loses nobody.
    #[must_use]
    pub fn of_json(text: &str) -> Self {
        Self(serde_json::from_str(text).unwrap_or_default())
    }

    /// To keep them.
    #[must_use]
    pub fn to_json(&self) -> String {
        serde_json::to_string(&self.0).unwrap_or_else(|_| "[]".to_owned())
    }

    /// The subjects; none is everything.
    #[must_use]
    pub fn subjects(&self) -> &[Subject] {
        &self.0
    }

    /// Whether it is about `incident`. What names nothing is about everybody.
    #[must_use]
    pub fn cover(&self, incident: &Incident) -> bool {
        self.0.is_empty()
            || incident.subjects.is_empty()
            || self.0.iter().any(|scope| incident.subjects.contains(scope))
    }
}
