//! The forms of the status page: what is asked by them, and the page that comes of it. What is decided is decided by the
//! subscriptions' [`Desk`].

use super::board::{self, Content};
use super::page::subscription::{self, Front};
use super::query::decoded;
use super::rendering::Rendering;
use crate::history::story::Level;
use crate::limits::{STATUS_FORM_BYTES_MAX, STATUS_FORM_FIELDS_MAX};
use crate::subscriptions::desk::{Desk, Form, Refusal, Subscribed, Tested};
use bytes::Bytes;
use http::header::{self, HeaderValue};
use http::request::Parts;
use http::{Method, Response, StatusCode};
use std::net::IpAddr;

/// What one path of the forms asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Wish<'a> {
    Subscribe,
    Look(&'a str, Front),
    Do(&'a str, &'a str),
}

/// What a request asks of the forms, if it does.
fn wish<'a>(method: &Method, path: &'a str) -> Option<Wish<'a>> {
    let is_post = method == Method::POST;
    if path == "subscribe" {
        return is_post.then_some(Wish::Subscribe);
    }
    let rest = path.strip_prefix("subscription/")?;
    let (token, what) = rest.split_once('/').unwrap_or((rest, ""));
    match (what, is_post) {
        ("" | "scopes" | "test" | "rotate", false) => Some(Wish::Look(token, Front::Nothing)),
        ("confirm", false) => Some(Wish::Look(token, Front::Confirm)),
        ("unsubscribe", false) => Some(Wish::Look(token, Front::Unsubscribe)),
        ("confirm" | "scopes" | "unsubscribe" | "test" | "rotate", true) => Some(Wish::Do(token, what)),
        _ => None,
    }
}

/// Whether a request is for the forms.
#[must_use]
pub fn are_asked(asked: &Parts) -> bool {
    wish(&asked.method, asked.uri.path().trim_start_matches('/')).is_some()
}

/// The fields of a form; more than there can be are not read.
fn fields(body: &[u8]) -> Vec<(String, String)> {
    let pairs = body.split(|octet| *octet == b'&').filter(|pair| !pair.is_empty()).take(STATUS_FORM_FIELDS_MAX);
    pairs
        .map(|pair| {
            let at = pair.iter().position(|octet| *octet == b'=').unwrap_or(pair.len());
            (decoded(&pair[..at]), decoded(pair.get(at + 1..).unwrap_or_default()))
        })
        .collect()
}

/// A page, or why there is none.
type Came = Result<String, Refusal>;

/// What comes of a request of `client` to the forms.
pub async fn answer(desk: &Desk, shown: &Rendering, client: IpAddr, asked: &Parts, body: &[u8]) -> Response<Content> {
    let path = asked.uri.path().trim_start_matches('/');
    if body.len() > STATUS_FORM_BYTES_MAX {
        return said(StatusCode::PAYLOAD_TOO_LARGE, String::new(), asked);
    }
    let fields = fields(body);
    let came = match wish(&asked.method, path) {
        Some(Wish::Subscribe) => subscribe(desk, shown, client, &fields).await,
        Some(Wish::Look(token, front)) => {
            let looked = desk.look(token).await;
            looked.map(|own| subscription::own(&shown.setting, &shown.report, (path, token), &own, (front, None)))
        }
        Some(Wish::Do(token, what)) => act(desk, shown, client, (path, token, what), &fields).await,
        None => Err(Refusal::Unknown),
    };
    match came {
        Ok(page) => said(StatusCode::OK, page, asked),
        Err(refusal) => {
            let mut answer = said(status_of(&refusal), subscription::refused(&shown.setting, path, &refusal), asked);
            if let Refusal::TooOften { retry_after } = refusal {
                answer.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after.as_secs().max(1)));
            }
            answer
        }
    }
}

async fn subscribe(desk: &Desk, shown: &Rendering, client: IpAddr, fields: &[(String, String)]) -> Came {
    let form = Form::of(fields.iter().map(|(name, value)| (name.as_str(), value.as_str())));
    match desk.subscribe(&form, client).await {
        Subscribed::Mailed => Ok(subscription::mailed(&shown.setting)),
        Subscribed::Noted { token, secret } => Ok(subscription::noted(&shown.setting, &token, &secret)),
        Subscribed::Refused(refusal) => Err(refusal),
    }
}

async fn act(
    desk: &Desk,
    shown: &Rendering,
    client: IpAddr,
    (path, token, what): (&str, &str, &str),
    fields: &[(String, String)],
) -> Came {
    let setting = &shown.setting;
    let own = |own, level, note: &str| {
        subscription::own(setting, &shown.report, (path, token), &own, (Front::Nothing, Some((level, note))))
    };
    match what {
        "confirm" => desk.confirm(token, client).await.map(|now| own(now, Level::Operational, "Confirmed.")),
        "scopes" => {
            let scopes = Form::of(fields.iter().map(|(name, value)| (name.as_str(), value.as_str()))).scopes;
            desk.change(token, &scopes).await.map(|now| own(now, Level::Operational, "Changed."))
        }
        "unsubscribe" => desk.unsubscribe(token).await.map(|()| subscription::ended(setting, path)),
        "rotate" => desk.rotate(token).await.map(|secret| subscription::rotated(setting, (path, token), &secret)),
        _ => match desk.test(token, client).await {
            Tested::Passed(now) => Ok(own(now, Level::Operational, "The test was answered: it is in force.")),
            Tested::Failed { why } => {
                let now = desk.look(token).await?;
                Ok(own(now, Level::Degraded, &format!("The test was not answered as it should be: {why}")))
            }
            Tested::Refused(refusal) => Err(refusal),
        },
    }
}

fn status_of(refusal: &Refusal) -> StatusCode {
    match refusal {
        Refusal::Wrong { .. } => StatusCode::BAD_REQUEST,
        Refusal::NotOffered => StatusCode::FORBIDDEN,
        Refusal::Known => StatusCode::CONFLICT,
        Refusal::TooOften { .. } => StatusCode::TOO_MANY_REQUESTS,
        Refusal::Unknown => StatusCode::NOT_FOUND,
        Refusal::Full | Refusal::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
    }
}

/// A page for one reader.
fn said(status: StatusCode, page: String, asked: &Parts) -> Response<Content> {
    let length = page.len();
    let is_head = asked.method == Method::HEAD;
    let mut answer = Response::new(Content::Whole(if is_head { Bytes::new() } else { Bytes::from(page) }));
    *answer.status_mut() = status;
    let headers = answer.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    board::secure(headers, board::PAGE_POLICY);
    answer
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_are_read_as_browsers_write_them() {
        let read =
            fields(b"kind=mail&to=a%2Bb%40x.example&scope=region%3Aorf&scope=hostname:us+x&&empty&bad=%zz%4&u=%FF");
        let read: Vec<(&str, &str)> = read.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        assert_eq!(
            read,
            [
                ("kind", "mail"),
                ("to", "a+b@x.example"),
                ("scope", "region:orf"),
                ("scope", "hostname:us x"),
                ("empty", ""),
                ("bad", "%zz%4"),
                ("u", "\u{fffd}"),
            ]
        );
        assert_eq!(fields("a=1&".repeat(STATUS_FORM_FIELDS_MAX + 1).as_bytes()).len(), STATUS_FORM_FIELDS_MAX);
    }

    #[test]
    fn a_look_never_changes_anything() {
        assert_eq!(wish(&Method::GET, "subscription/x/unsubscribe"), Some(Wish::Look("x", Front::Unsubscribe)));
        assert_eq!(wish(&Method::GET, "subscription/x/confirm"), Some(Wish::Look("x", Front::Confirm)));
        assert_eq!(wish(&Method::POST, "subscription/x/unsubscribe"), Some(Wish::Do("x", "unsubscribe")));
        assert_eq!(wish(&Method::GET, "subscribe"), None, "that is a page");
        assert_eq!(wish(&Method::POST, "subscription/x/everything"), None);
    }
}
