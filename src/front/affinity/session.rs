//! Sessions of MCP: which region began one is sealed into its id.
//!
//! Hashing cannot do it: a server makes the id up after the region was chosen. So the id that a client gets is a token with
//! the region and the region's own id, the client gives it back, and any node of the fleet knows the way without having
//! seen it before.

use super::seal::{Opened, Purpose};
use super::{Here, Unbound};
use crate::front::mcp::{SESSION_ID, is_stateless};
use crate::limits::MCP_SESSION_ID_BYTES_MAX;
use crate::names::Label;
use http::header::{HeaderMap, HeaderValue};

/// What a request's head says of its session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Session {
    /// There are none in its era.
    Never,
    /// It has none, and may begin one.
    None,
    /// Its id is not ours: it began before anyfront stood here. It goes where steering says.
    Foreign(HeaderValue),
    /// It began in this region.
    Ours {
        /// Where.
        region: Label,
        /// What the region calls it.
        id: HeaderValue,
        /// What the client calls it.
        token: HeaderValue,
    },
}

impl Session {
    /// Reads it from the head of a request, in which the region's own id takes the place of the token.
    ///
    /// # Errors
    /// If the session cannot be gone on with.
    pub fn of(headers: &mut HeaderMap, here: &Here<'_>) -> Result<Self, Unbound> {
        if is_stateless(headers) {
            return Ok(Self::Never);
        }
        let mut given = headers.get_all(SESSION_ID).iter();
        let Some(token) = given.next().cloned() else { return Ok(Self::None) };
        if given.next().is_some() {
            return Err(Unbound::Ambiguous);
        }
        match here.seal(Purpose::Session).open(token.as_bytes()) {
            Opened::Foreign => Ok(Self::Foreign(token)),
            Opened::Broken => Err(Unbound::Lost),
            Opened::Content(content) => {
                let (region, id) = unpacked(&content).ok_or(Unbound::Lost)?;
                headers.insert(SESSION_ID, id.clone());
                Ok(Self::Ours { region, id, token })
            }
        }
    }

    /// Seals the id in the head of an answer of `region`. A client never sees the id of its session change.
    pub fn answered(&self, headers: &mut HeaderMap, region: &Label, here: &Here<'_>) {
        let Some(id) = headers.get(SESSION_ID) else { return };
        let told = match self {
            Self::Never => return,
            Self::Foreign(known) if known == id => return,
            Self::Ours { id: known, token, region: there } if known == id && there == region => token.clone(),
            // What cannot be sealed is passed on: it works as long as steering says the same.
            _ if id.len() > MCP_SESSION_ID_BYTES_MAX => return,
            _ => {
                let token = here.seal(Purpose::Session).seal(&packed(region, id));
                HeaderValue::from_str(&token).expect("tokens are visible ASCII")
            }
        };
        headers.insert(SESSION_ID, told);
    }
}

/// The region's name, a NUL, the id: names have no NUL.
fn packed(region: &Label, id: &HeaderValue) -> Vec<u8> {
    [region.as_str().as_bytes(), id.as_bytes()].join(&0)
}

fn unpacked(content: &[u8]) -> Option<(Label, HeaderValue)> {
    let end = content.iter().position(|byte| *byte == 0)?;
    let region = Label::parse(std::str::from_utf8(&content[..end]).ok()?).ok()?;
    Some((region, HeaderValue::from_bytes(&content[end + 1..]).ok()?))
}
