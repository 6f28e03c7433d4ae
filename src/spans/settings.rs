//! What the environment says of traces: the `OTEL_*` variables of the OpenTelemetry specification. A machine: the variables
//! are handed in.

use crate::counters::trace::Sampler;
use http::{HeaderName, HeaderValue, Uri};
use std::time::Duration;

/// How long the collector has for its answer, unless the environment says otherwise (as the specification has it).
const TIMEOUT: Duration = Duration::from_secs(10);

/// Where spans go, and which.
#[derive(Clone, Debug, PartialEq)]
pub struct Settings {
    /// The whole URL that they are posted to.
    pub endpoint: Uri,
    /// Fields that go with them.
    pub headers: Vec<(HeaderName, HeaderValue)>,
    /// Who says it: attributes of the resource, `service.name` among them.
    pub resource: Vec<(String, String)>,
    /// Which traces are told.
    pub sampler: Sampler,
    /// How long the collector has for its answer.
    pub timeout: Duration,
}

impl Settings {
    /// What the variables say; `None`: nothing is to be told.
    ///
    /// # Errors
    /// A sentence that names the variable and what is wrong with it.
    pub fn of(variable: impl Fn(&str) -> Option<String>) -> Result<Option<Self>, String> {
        // An empty value is as good as none.
        let said = |name: &str| variable(name).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
        let is_off = said("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true"))
            || said("OTEL_TRACES_EXPORTER").is_some_and(|value| value == "none");
        let own = said("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT").map(|url| ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url));
        let common = || {
            let url = said("OTEL_EXPORTER_OTLP_ENDPOINT")?;
            Some(("OTEL_EXPORTER_OTLP_ENDPOINT", format!("{}/v1/traces", url.trim_end_matches('/'))))
        };
        let Some((name, url)) = own.or_else(common).filter(|_| !is_off) else { return Ok(None) };
        let endpoint = endpoint(name, &url)?;
        let either = |name: &str| {
            let own = format!("OTEL_EXPORTER_OTLP_TRACES_{name}");
            said(&own).map(|value| (own, value)).or_else(|| {
                let common = format!("OTEL_EXPORTER_OTLP_{name}");
                said(&common).map(|value| (common, value))
            })
        };
        if let Some((name, protocol)) = either("PROTOCOL")
            && !protocol.starts_with("http/")
        {
            return Err(format!("{name}={protocol}: spans go by HTTP; say http/json, or nothing"));
        }
        let headers = either("HEADERS").map_or_else(|| Ok(Vec::new()), |(name, value)| headers(&name, &value))?;
        let timeout = match either("TIMEOUT") {
            Some((name, value)) => value
                .parse::<u64>()
                .ok()
                .filter(|milliseconds| (1..=600_000).contains(milliseconds))
                .map(Duration::from_millis)
                .ok_or_else(|| format!("{name}={value}: no number of milliseconds from 1 to 600000"))?,
            None => TIMEOUT,
        };
        let sampler = sampler(said("OTEL_TRACES_SAMPLER").as_deref(), said("OTEL_TRACES_SAMPLER_ARG").as_deref())?;
        let resource = resource(said("OTEL_SERVICE_NAME"), said("OTEL_RESOURCE_ATTRIBUTES").as_deref())?;
        Ok(Some(Self { endpoint, headers, resource, sampler, timeout }))
    }
}

/// A URL may have a password in it, or a token: no sentence repeats one.
fn endpoint(name: &str, url: &str) -> Result<Uri, String> {
    let uri: Uri = url.parse().map_err(|error| format!("{name} is no URL: {error}"))?;
    let (Some("http" | "https"), Some(authority)) = (uri.scheme_str(), uri.authority()) else {
        return Err(format!("{name} should begin with http:// or https:// and a host"));
    };
    if authority.as_str().contains('@') {
        return Err(format!("{name} must not have a user name or password: give them in OTEL_EXPORTER_OTLP_HEADERS"));
    }
    if authority.host().is_empty() {
        return Err(format!("{name} should begin with http:// or https:// and a host"));
    }
    Ok(uri)
}

/// `name=value` pairs between commas, as W3C Baggage writes them.
fn pairs(name: &str, value: &str) -> Result<Vec<(String, String)>, String> {
    let pair = |pair: &str| {
        let (key, value) = pair.split_once('=')?;
        let (key, value) = (decoded(key.trim())?, decoded(value.trim())?);
        (!key.is_empty()).then_some((key, value))
    };
    let written = value.split(',').filter(|pair| !pair.trim().is_empty());
    written.map(|text| pair(text).ok_or_else(|| format!("{name}: a part that is not NAME=VALUE"))).collect()
}

fn decoded(text: &str) -> Option<String> {
    let mut octets = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        if *first == b'%' {
            let digits = std::str::from_utf8(after.get(..2)?).ok()?;
            octets.push(u8::from_str_radix(digits, 16).ok()?);
            rest = &after[2..];
        } else {
            octets.push(*first);
            rest = after;
        }
    }
    String::from_utf8(octets).ok()
}

/// Their values are secrets: no sentence repeats one.
fn headers(name: &str, value: &str) -> Result<Vec<(HeaderName, HeaderValue)>, String> {
    let header = |(key, value): (String, String)| {
        let field = HeaderName::from_bytes(key.as_bytes()).map_err(|_| format!("{name}: {key:?} is no field name"))?;
        let mut value = HeaderValue::from_str(&value).map_err(|_| format!("{name}: {key} has no good value"))?;
        value.set_sensitive(true);
        Ok((field, value))
    };
    pairs(name, value)?.into_iter().map(header).collect()
}

fn resource(service: Option<String>, attributes: Option<&str>) -> Result<Vec<(String, String)>, String> {
    let mut all = pairs("OTEL_RESOURCE_ATTRIBUTES", attributes.unwrap_or_default())?;
    let is_named = all.iter().any(|(key, _)| key == "service.name");
    if let Some(service) = service.or_else(|| (!is_named).then(|| "anyfront".to_owned())) {
        all.retain(|(key, _)| key != "service.name");
        all.push(("service.name".to_owned(), service));
    }
    Ok(all)
}

fn sampler(name: Option<&str>, argument: Option<&str>) -> Result<Sampler, String> {
    let name = name.unwrap_or("parentbased_always_on");
    let (follows_parent, root) = match name.strip_prefix("parentbased_") {
        Some(root) => (true, root),
        None => (false, name),
    };
    let ratio = match root {
        "always_on" => 1.0,
        "always_off" => 0.0,
        "traceidratio" => {
            argument.unwrap_or("1").parse::<f64>().ok().filter(|ratio| (0.0..=1.0).contains(ratio)).ok_or_else(
                || format!("OTEL_TRACES_SAMPLER_ARG={}: no number from 0 to 1", argument.unwrap_or_default()),
            )?
        }
        _ => {
            return Err(format!(
                "OTEL_TRACES_SAMPLER={name}: none of always_on, always_off, traceidratio, or parentbased_ before one of them"
            ));
        }
    };
    Ok(Sampler { follows_parent, ratio })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Option<Settings>, String> {
        Settings::of(|name| pairs.iter().find(|(key, _)| *key == name).map(|(_, value)| (*value).to_owned()))
    }

    const TO: (&str, &str) = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.test:4318/");

    #[test]
    fn nothing_is_told_unless_somebody_is_named_who_hears() {
        assert_eq!(of(&[]), Ok(None));
        assert_eq!(of(&[("OTEL_SERVICE_NAME", "x")]), Ok(None));
        assert_eq!(of(&[TO, ("OTEL_SDK_DISABLED", "true")]), Ok(None));
        assert_eq!(of(&[TO, ("OTEL_TRACES_EXPORTER", "none")]), Ok(None));
        assert_eq!(of(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]), Ok(None));
    }

    #[test]
    fn what_is_said_of_traces_alone_comes_first() {
        let settings = of(&[TO]).expect("good").expect("on");
        assert_eq!(settings.endpoint, "http://collector.test:4318/v1/traces");
        assert_eq!(settings.resource, [("service.name".to_owned(), "anyfront".to_owned())]);
        assert_eq!(settings.sampler, Sampler { follows_parent: true, ratio: 1.0 });
        let settings = of(&[
            TO,
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "https://[::1]/x"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20a%2Cb, x-y=1"),
            ("OTEL_RESOURCE_ATTRIBUTES", "service.name=no,deployment.environment=a%20b"),
            ("OTEL_SERVICE_NAME", "door"),
            ("OTEL_TRACES_SAMPLER", "traceidratio"),
            ("OTEL_TRACES_SAMPLER_ARG", "0.5"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "1500"),
        ]);
        let settings = settings.expect("good").expect("on");
        assert_eq!(
            (settings.endpoint.to_string().as_str(), settings.timeout),
            ("https://[::1]/x", Duration::from_millis(1_500))
        );
        assert_eq!(
            (&settings.headers[0].1, &settings.headers[1].1),
            (&HeaderValue::from_static("Bearer a,b"), &HeaderValue::from_static("1"))
        );
        let named = [("deployment.environment", "a b"), ("service.name", "door")];
        assert_eq!(settings.resource, named.map(|(key, value)| (key.to_owned(), value.to_owned())));
        assert_eq!(settings.sampler, Sampler { follows_parent: false, ratio: 0.5 });
    }

    #[test]
    fn what_makes_no_sense_is_told_by_its_name_and_no_secret_is() {
        for (name, value) in [
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://user:secret@collector:4318/v1/traces"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "user:secret@collector:4318"),
            ("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://secret collector/"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "grpc"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a b=secret"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "a=secret%0d%0a"),
            ("OTEL_EXPORTER_OTLP_TIMEOUT", "soon"),
            ("OTEL_RESOURCE_ATTRIBUTES", "=x"),
            ("OTEL_TRACES_SAMPLER", "sometimes"),
        ] {
            let wrong = of(&[TO, (name, value)]).expect_err(value);
            assert!(wrong.starts_with(name) && !wrong.contains("secret"), "{wrong}");
        }
        let wrong = of(&[TO, ("OTEL_TRACES_SAMPLER", "traceidratio"), ("OTEL_TRACES_SAMPLER_ARG", "2")]);
        assert!(wrong.expect_err("too much").contains("OTEL_TRACES_SAMPLER_ARG"));
    }
}
