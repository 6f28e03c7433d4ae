//! Faults by HTTP: what is wrong with whom, and how it gets so.
//!
//! `GET /` tells; `POST /break` and `POST /heal` change. For this machine only, and for nothing but stand-ins.

use super::fault::{Aim, Fault, Wanted};
use super::logbook::Counts;
use super::world::{Inhabitants, LabError};
use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::{Value as Json, json};
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::sleep;

/// Longest body of an order, octets.
const ORDER_BYTES_MAX: usize = 16 << 10;
/// Longest time after which a fault heals itself: a day.
const FOR_S_MAX: f64 = 86_400.0;
/// After an accept that failed.
const ACCEPT_PAUSE: Duration = Duration::from_millis(20);

/// What `POST /break` takes: the keys of [`Wanted`], at whom, and for how long.
#[derive(Clone, Debug, Default, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Break {
    /// `orf`, `region:orf`, `provider:aws`, `endpoint:orf/a` or `all`.
    pub target: String,
    /// The kind of fault.
    pub kind: String,
    /// Of all requests, 0 to 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub share: Option<f64>,
    /// 500 to 599.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub status: Option<u16>,
    /// Milliseconds.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ms: Option<u64>,
    /// How many times as far away.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub times: Option<f64>,
    /// Octets.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bytes: Option<u64>,
    /// `elsewhere` or `later`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// After how many seconds it heals itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub for_s: Option<f64>,
}

/// What `POST /heal` takes.
#[derive(Clone, Debug, serde::Deserialize, serde::Serialize)]
#[serde(deny_unknown_fields)]
pub struct Heal {
    /// As in [`Break`]; `all` unless it is said.
    #[serde(default = "all")]
    pub target: String,
}

fn all() -> String {
    "all".to_owned()
}

/// Answers until the runtime ends.
pub(super) async fn serve(listener: TcpListener, inhabitants: Arc<Inhabitants>) {
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let inhabitants = Arc::clone(&inhabitants);
        tokio::spawn(async move {
            let service = service_fn(|request| reply(Arc::clone(&inhabitants), request));
            // How a connection ends is the other side's affair.
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), service).await;
        });
    }
}

async fn reply(inhabitants: Arc<Inhabitants>, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, Infallible> {
    let (status, body) = match obey(&inhabitants, request).await {
        Ok(body) => (StatusCode::OK, body),
        Err((status, why)) => (status, json!({"error": why})),
    };
    let mut reply = Response::new(Full::new(Bytes::from(format!("{body}\n"))));
    *reply.status_mut() = status;
    reply.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
    Ok(reply)
}

type Refused = (StatusCode, String);

async fn obey(inhabitants: &Inhabitants, request: Request<Incoming>) -> Result<Json, Refused> {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    match (&method, path.as_str()) {
        (&Method::GET, "/") => Ok(shown(inhabitants)),
        (&Method::POST, "/break") => {
            let order: Break = order(request).await?;
            let (aim, fault, lasts) = understood(&order).map_err(bad)?;
            suffer(inhabitants, &aim, fault, lasts).await
        }
        (&Method::POST, "/heal") => {
            let order: Heal = order(request).await?;
            let aim = Aim::parse(&order.target).map_err(bad)?;
            suffer(inhabitants, &aim, Fault::None, None).await
        }
        (_, "/" | "/break" | "/heal") => {
            let wanted = if path == "/" { "GET" } else { "POST" };
            Err((StatusCode::METHOD_NOT_ALLOWED, format!("{path} wants a {wanted}")))
        }
        _ => Err((StatusCode::NOT_FOUND, format!("there is no {path}: there is GET /, POST /break and POST /heal"))),
    }
}

/// What an order means.
fn understood(order: &Break) -> Result<(Aim, Fault, Option<Duration>), String> {
    let aim = Aim::parse(&order.target)?;
    let Break { share, status, ms, times, bytes, .. } = *order;
    let hint = order.hint.clone();
    let fault = Wanted { kind: order.kind.clone(), share, status, ms, times, bytes, hint }.fault()?;
    let lasts = match order.for_s {
        Some(seconds) if !(0.001..=FOR_S_MAX).contains(&seconds) => {
            return Err(format!("for_s {seconds} is not between 0.001 and {FOR_S_MAX} seconds"));
        }
        seconds => seconds.map(Duration::from_secs_f64),
    };
    Ok((aim, fault, lasts))
}

async fn order<T: serde::de::DeserializeOwned>(request: Request<Incoming>) -> Result<T, Refused> {
    let body = Limited::new(request.into_body(), ORDER_BYTES_MAX).collect().await;
    let body = body.map_err(|error| bad(format!("the body cannot be read: {error}")))?.to_bytes();
    let example = r#"it should read such as {"target":"region:orf","kind":"refuse"}"#;
    serde_json::from_slice(&body).map_err(|error| bad(format!("the body is not understood: {error}; {example}")))
}

async fn suffer(inhabitants: &Inhabitants, aim: &Aim, fault: Fault, lasts: Option<Duration>) -> Result<Json, Refused> {
    match inhabitants.suffer(aim, fault, lasts).await {
        Ok(count) => Ok(json!({"target": aim.to_string(), "fault": fault.to_string(), "endpoints": count})),
        Err(error @ LabError::Nobody(_)) => Err(bad(error.to_string())),
        Err(error) => {
            let cause = std::error::Error::source(&error).map_or_else(String::new, |cause| format!(": {cause}"));
            Err((StatusCode::INTERNAL_SERVER_ERROR, format!("{error}{cause}")))
        }
    }
}

/// Every region, what is wrong with it, and how much it was asked.
fn shown(inhabitants: &Inhabitants) -> Json {
    let topology = &inhabitants.topology;
    let regions = topology.regions.iter().map(|region| {
        let endpoints: Vec<Json> = region
            .endpoints
            .iter()
            .map(|endpoint| {
                let standin = &inhabitants.standins[endpoint.at()];
                let counts: Counts = standin.log().counts();
                json!({
                    "endpoint": standin.about().endpoint.as_str(),
                    "address": standin.address().to_string(),
                    "fault": standin.suffers().to_string(),
                    "counts": counts,
                })
            })
            .collect();
        let round_trip = inhabitants.standins[region.endpoints[0].at()].about().round_trip;
        json!({
            "region": region.name.as_str(),
            "provider": topology.providers[region.provider.at()].as_str(),
            "place": region.place.to_string(),
            "round_trip_ms": round_trip.as_millis(),
            "endpoints": endpoints,
        })
    });
    json!({"regions": regions.collect::<Vec<_>>()})
}

fn bad(why: String) -> Refused {
    (StatusCode::BAD_REQUEST, why)
}
