//! What the keys of a zone do at a moment: who is published, who signs what, whom the parent is asked to vouch for.

use super::life::Lives;
use std::time::Duration;

/// What the parent is asked for by CDS and CDNSKEY (RFC 7344, RFC 8078).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Wanted {
    /// Nothing is asked.
    #[default]
    Nothing,
    /// To vouch for this key, an index, and no other.
    Only(usize),
    /// To vouch for none any more.
    Delete,
}

/// Who does what, as indexes into [`Lives::all`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Roles {
    /// In DNSKEY.
    pub published: Vec<usize>,
    /// Sign DNSKEY, CDS and CDNSKEY; all that sign the zone are among them.
    pub sign_keys: Vec<usize>,
    /// Sign everything else; none is an unsigned zone.
    pub sign_zone: Vec<usize>,
    /// For the parent.
    pub wanted: Wanted,
    /// When the clock alone next changes any of it.
    pub until: Option<Duration>,
}

impl Lives {
    /// Who does what at `wall` (since the Unix epoch, and taken to be no earlier than the last step).
    #[must_use]
    pub fn roles(&self, wall: Duration) -> Roles {
        let wall = self.not_before_last_step(wall);
        let mut roles = Roles { wanted: self.wanted(wall), ..Roles::default() };
        for at in self.living(wall) {
            let course = self.course(at);
            let does = [
                (course.published, &mut roles.published),
                (course.signs_keys, &mut roles.sign_keys),
                (course.signs_zone, &mut roles.sign_zone),
            ];
            for (span, who) in does {
                if span.holds(wall) {
                    who.push(at);
                }
            }
            let spans = [course.published, course.signs_keys, course.signs_zone];
            let edges = spans.into_iter().flat_map(|span| [span.from, span.until]).chain([Some(course.ready)]);
            let next = edges.flatten().filter(|edge| *edge > wall);
            roles.until = roles.until.into_iter().chain(next).min();
        }
        roles
    }

    /// The newest key that the parent may vouch for, unless it is to vouch for none.
    fn wanted(&self, wall: Duration) -> Wanted {
        let living = self.living(wall);
        if living.iter().any(|at| self.all()[*at].withdrawn.is_some()) {
            return Wanted::Delete;
        }
        let may = |at: &&usize| self.all()[**at].cancelled.is_none() && self.course(**at).ready <= wall;
        living.iter().rfind(may).map_or(Wanted::Nothing, |at| Wanted::Only(*at))
    }
}
