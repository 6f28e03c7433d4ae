//! Hands the front what a node says of itself to the other sites.

use crate::front::live::{Answer, Clear, Live};
use crate::front::reply::Complaint;
use crate::probe::sites::PATH;
use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_LENGTH, CONTENT_TYPE, HeaderValue};
use http::{Method, Response, StatusCode};
use tokio::sync::watch;

/// The name of the site, or 503 while its node does not want traffic.
pub(super) fn service(is_ready: watch::Receiver<bool>) -> Live {
    Live {
        path: Some(PATH),
        in_the_clear: Clear::Ignored,
        is_at: |snapshot, hostname| snapshot.topology.site_hostname().as_ref() == Some(hostname),
        body_bytes_max: 0,
        methods: "GET, HEAD",
        answer: Answer::Now(Box::new(move |snapshot, _, head, _| match head.method {
            Method::GET | Method::HEAD if *is_ready.borrow() => Ok(respond(snapshot.here.name.as_str())),
            Method::GET | Method::HEAD => {
                Err(Complaint::new(StatusCode::SERVICE_UNAVAILABLE, "draining", "this node wants no traffic now"))
            }
            _ => {
                let message = "a site is asked with GET or HEAD";
                Err(Complaint::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", message))
            }
        })),
    }
}

fn respond(site: &str) -> Response<Bytes> {
    let mut answer = Response::new(Bytes::copy_from_slice(site.as_bytes()));
    let headers = answer.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("text/plain"));
    headers.insert(CONTENT_LENGTH, HeaderValue::from(site.len()));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    answer
}
