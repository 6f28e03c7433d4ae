//! Regions, their endpoints and their probes.

use super::{At, Proof, label, place, stand_in, values, whole};
use crate::limits::{ENDPOINTS_PER_REGION_MAX, PROBE_INTERVAL_MIN, REGIONS_MAX};
use crate::names::{EndpointName, Label};
use crate::topology::file;
use crate::topology::kind::Kind;
use crate::topology::mistake::Mistake;
use crate::topology::read::quoted;
use crate::topology::words::Url;
use crate::topology::{Endpoint, EndpointIndex, HostFrom, Probe, ProbeKind, ProviderIndex, Region, RegionIndex};
use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

/// Longest time a probe may take: while it lasts nothing is known.
const PROBE_TIMEOUT_MAX: Duration = Duration::from_secs(60);

impl Proof<'_> {
    pub(super) fn regions(&mut self) -> (Vec<Label>, Vec<Region>, Vec<Endpoint>) {
        let file = self.file;
        let written = file.region.as_ref().map_or(&[][..], |regions| &regions.value);
        if let Some(list) = file.region.as_ref().filter(|regions| regions.value.is_empty()) {
            self.error(
                &list.span,
                "no [[region]]",
                "nothing in it",
                "add at least one [[region]]: somebody must answer",
            );
        }
        self.bound("region", written, REGIONS_MAX);
        let written = &written[..written.len().min(REGIONS_MAX)];
        self.unique("region", written.iter().filter_map(|region| region.value.name.as_ref()), |name| {
            name.as_str().to_owned()
        });
        let fleet_probe = file.probe.as_ref().map(|probe| &probe.value);
        let common = Arc::new(self.probe(fleet_probe, None));
        let common_also = self.also(&common, fleet_probe);
        let (mut providers, mut regions, mut endpoints) = (Vec::<Label>::new(), Vec::new(), Vec::new());
        for (at, region) in written.iter().enumerate() {
            let index = RegionIndex::of(at);
            if let Some(name) = &*region.value.name {
                self.region_by_name.entry(name.value.as_str()).or_insert(index);
            }
            let provider = label(&region.value.provider);
            let provider = providers.iter().position(|known| *known == provider).unwrap_or_else(|| {
                providers.push(provider);
                providers.len() - 1
            });
            let first = endpoints.len();
            self.endpoints(index, region, &mut endpoints);
            let region = &region.value;
            let probe = match &region.probe {
                Some(own) => Arc::new(self.probe(fleet_probe, Some(&own.value))),
                None => Arc::clone(&common),
            };
            let also = match region.probe.as_ref().filter(|own| own.value.also.is_some()) {
                Some(own) => self.also(&probe, Some(&own.value)),
                None => common_also.iter().filter(|also| also.kind.as_str() != probe.kind.as_str()).cloned().collect(),
            };
            self.repeated("addresses", region.addresses.as_ref(), ToString::to_string);
            let nat_ips = self.nat_ips(region);
            regions.push(Region {
                name: label(&region.name),
                provider: ProviderIndex::of(provider),
                place: place(&region.latitude, &region.longitude, region.country.as_ref(), region.city.as_ref()),
                endpoints: (first..endpoints.len()).map(EndpointIndex::of).collect(),
                addresses: values(region.addresses.as_ref()),
                capacity: region.capacity.as_ref().map(|capacity| capacity.value.0),
                weight: whole(region.weight.as_ref(), 100),
                nat_ips,
                probe,
                also,
            });
        }
        (providers, regions, endpoints)
    }

    fn endpoints(
        &mut self,
        index: RegionIndex,
        At { value: region, span }: &At<file::Region>,
        endpoints: &mut Vec<Endpoint>,
    ) {
        let named = region.name.as_ref().map_or_else(|| "a region".to_owned(), |name| format!("region {}", name.value));
        self.endpoints_are_written_once(&named, region, span);
        let short = region.endpoints.iter().flat_map(|list| &list.value).map(|url| (Some(url), None));
        let long = region
            .endpoint
            .iter()
            .flat_map(|list| &list.value)
            .map(|table| (table.value.url.as_ref(), Some(&table.value)));
        let (mut seen, mut count) = (HashMap::<EndpointName, Range<usize>>::new(), 0);
        for (url, said) in short.chain(long) {
            let Some(url) = url else { continue };
            count += 1;
            if count > ENDPOINTS_PER_REGION_MAX {
                let title = format!("{named} has more than {ENDPOINTS_PER_REGION_MAX} endpoints");
                return self.error(
                    &url.span,
                    title,
                    "one too many",
                    "put a balancer in front of them, or make two regions of it",
                );
            }
            let endpoint =
                endpoint(index, &region.name.as_ref().map_or_else(stand_in, |name| name.value.clone()), url, said);
            let place = said.and_then(|said| said.name.as_ref()).map_or(&url.span, |name| &name.span);
            if let Some(first) = seen.get(&endpoint.name) {
                let title = format!("endpoint {} is there twice", quoted(endpoint.name.as_str()));
                let help = "give each a name of its own: [[region.endpoint]] with name = \"a\" and url = …";
                self.mistakes
                    .push(Mistake::error(place.clone(), title, "again here", help).and(first.clone(), "first here"));
            }
            seen.insert(endpoint.name.clone(), place.clone());
            if let Some(connect) = said.and_then(|said| said.connect.as_ref()) {
                self.repeated("connect", Some(connect), ToString::to_string);
            }
            endpoints.push(endpoint);
        }
    }

    /// In one of the two ways, and not in neither or both.
    fn endpoints_are_written_once(&mut self, named: &str, region: &file::Region, span: &Range<usize>) {
        match (&region.endpoints, &region.endpoint) {
            (Some(short), Some(long)) => {
                let first = long.value.first().map_or(&long.span, |endpoint| &endpoint.span);
                let title = format!("{named} has both endpoints and [[region.endpoint]]");
                let mistake = Mistake::error(
                    short.span.clone(),
                    title,
                    "here",
                    "move these URLs into tables of [[region.endpoint]]",
                );
                self.mistakes.push(mistake.and(first.clone(), "and here"));
            }
            (None, None) => {
                let help = "add a line such as endpoints = [\"https://orf.gateway.example\"]";
                self.error(span, format!("{named} has no endpoints"), "endpoints is missing", help);
            }
            (Some(At { value, span }), None) if value.is_empty() => {
                let help = "name at least one URL, such as \"https://orf.gateway.example\"";
                self.error(span, format!("{named} has no usable endpoint"), "no good URL in it", help);
            }
            (None, Some(At { value, span })) if value.is_empty() => {
                self.error(
                    span,
                    format!("{named} has no endpoint"),
                    "nothing in it",
                    "add a [[region.endpoint]] with a url",
                );
            }
            _ => {}
        }
    }

    /// What `[probe]` says, overruled key by key by what the region says.
    fn probe(&mut self, fleet: Option<&file::Probe>, own: Option<&file::Probe>) -> Probe {
        // Mistakes in [probe] alone are told once, not for every region.
        let told = own.or(fleet);
        let kind_of = |probe: Option<&file::Probe>| probe.and_then(|probe| probe.kind.as_ref()).map(|kind| kind.value);
        let kind = kind_of(own).or(kind_of(fleet)).unwrap_or(Kind::Http);
        let is_costly = matches!(kind, Kind::Token | Kind::Mcp);
        // What suits a GET does not suit a stream, nor the other way round: then nothing is taken over.
        let other = kind_of(fleet).unwrap_or(Kind::Http);
        let fleet = fleet.filter(|_| other == kind || !(is_costly || matches!(other, Kind::Token | Kind::Mcp)));
        macro_rules! key {
            ($key:ident) => {
                own.and_then(|own| own.$key.as_ref()).or(fleet.and_then(|fleet| fleet.$key.as_ref()))
            };
        }
        let duration = |written: Option<&At<Duration>>, default_ms| {
            written.map_or(Duration::from_millis(default_ms), |written| written.value)
        };
        let authorization = match own.and_then(|own| own.authorization_file.as_ref()) {
            Some(written) => self.authorization(written, true),
            None => key!(authorization_file).and_then(|written| self.authorization(written, own.is_none())),
        };
        let probe = Probe {
            kind: match kind {
                Kind::Tcp => ProbeKind::Tcp,
                Kind::Grpc => ProbeKind::Grpc { service: key!(service).map_or("", |service| &service.value).into() },
                Kind::Http => ProbeKind::Http {
                    path: key!(path).map_or("/health", |path| &path.value.0).into(),
                    expect_status: match key!(expect_status) {
                        Some(written) => written.value.iter().map(|range| range.value.0.clone()).collect(),
                        None => vec![200..=299],
                    },
                    expect_body: key!(expect_body).map_or("", |text| &text.value).into(),
                    expect_json: key!(expect_json).and_then(|expected| {
                        let (pointer, value) = (expected.value.pointer.as_ref()?, expected.value.value.as_ref()?);
                        Some((pointer.value.0.as_str().into(), value.value.0.clone()))
                    }),
                },
                Kind::Token => ProbeKind::Token {
                    path: key!(path).map_or("/v1/chat/completions", |path| &path.value.0).into(),
                    model: key!(model).map_or("", |model| &model.value).into(),
                    events: whole(key!(events), 3),
                    first_event: duration(key!(first_event), 2_000),
                    gap: duration(key!(gap), 1_000),
                    authorization,
                },
                Kind::Mcp => {
                    ProbeKind::Mcp { path: key!(path).map_or("/mcp", |path| &path.value.0).into(), authorization }
                }
            },
            interval: duration(key!(interval), if is_costly { 10_000 } else { 1_000 }),
            fast_interval: duration(key!(fast_interval), if is_costly { 1_000 } else { 250 }),
            down_interval: duration(key!(down_interval), if is_costly { 5_000 } else { 2_000 }),
            timeout: duration(key!(timeout), timeout_ms(kind)),
            rise: whole(key!(rise), 3),
            fall: whole(key!(fall), 3),
            reset_ok: whole(key!(reset_ok), 10),
        };
        if let Some(told) = told {
            self.probe_rules(told, &probe);
            self.stream_rules(told, &probe);
            self.idle_keys(told, kind);
        }
        probe
    }

    /// The probes besides `first` that a table names.
    fn also(&mut self, first: &Probe, told: Option<&file::Probe>) -> Vec<Arc<Probe>> {
        let written = told.and_then(|told| told.also.as_ref()).map_or(&[][..], |also| &also.value.0);
        let mut kinds = vec![first.kind.as_str()];
        let mut probes = Vec::with_capacity(written.len());
        for At { value, span } in written {
            if let Some(nested) = &value.also {
                self.error(&nested.span, "also inside also", "one is enough", "put it beside the others");
            }
            let probe = self.probe(None, Some(value));
            let kind = probe.kind.as_str();
            if kinds.contains(&kind) {
                let title = format!("two probes of kind {kind:?} ask the same endpoints");
                let place = value.kind.as_ref().map_or(span, |kind| &kind.span);
                self.error(place, title, "the second of its kind", "a region has one probe of each kind: remove one");
            }
            kinds.push(kind);
            probes.push(Arc::new(probe));
        }
        probes
    }

    fn probe_rules(&mut self, told: &file::Probe, probe: &Probe) {
        for (key, written) in [
            ("interval", &told.interval),
            ("fast_interval", &told.fast_interval),
            ("down_interval", &told.down_interval),
        ] {
            if let Some(At { span, .. }) = written.as_ref().filter(|written| written.value < PROBE_INTERVAL_MIN) {
                let help = format!("leave at least {PROBE_INTERVAL_MIN:?} between probes");
                self.error(span, format!("{key} is shorter than {PROBE_INTERVAL_MIN:?}"), "too often", help);
            }
        }
        self.positive("timeout", told.timeout.as_ref());
        if let Some(At { span, .. }) = told.timeout.as_ref().filter(|timeout| timeout.value > PROBE_TIMEOUT_MAX) {
            self.error(
                span,
                "timeout of a probe is longer than a minute",
                "too long",
                "use at most \"1m\": until then nothing is known",
            );
        }
        for (key, written, shorter) in [
            ("interval", &told.interval, probe.fast_interval),
            ("fast_interval", &told.fast_interval, probe.fast_interval),
        ] {
            // Told at whichever of the two is written here, once.
            let is_first = key == "interval" || told.interval.is_none();
            if let Some(At { span, .. }) = written.as_ref().filter(|_| is_first && shorter > probe.interval) {
                let title = format!("fast_interval {shorter:?} is longer than interval {:?}", probe.interval);
                self.error(
                    span,
                    title,
                    "doubt would slow probes down",
                    "make fast_interval at most as long as interval",
                );
            }
        }
        if let Some(At { span, .. }) = told.expect_status.as_ref().filter(|statuses| statuses.value.is_empty()) {
            self.error(
                span,
                "expect_status allows no status",
                "nothing would pass",
                "write such as [\"200-299\"], or leave the key out",
            );
        }
    }

    /// What a stream needs.
    fn stream_rules(&mut self, told: &file::Probe, probe: &Probe) {
        let ProbeKind::Token { model, first_event, gap, .. } = &probe.kind else { return };
        if model.is_empty() {
            let place = told.model.as_ref().map(|model| &model.span).or(told.kind.as_ref().map(|kind| &kind.span));
            let place = place.cloned().unwrap_or(0..0);
            let help = "add a line such as model = \"echo\": one that costs nothing";
            self.error(&place, "a probe of kind \"token\" without a model", "model is missing", help);
        }
        self.positive("first_event", told.first_event.as_ref());
        self.positive("gap", told.gap.as_ref());
        for (key, written, limit) in [("first_event", &told.first_event, first_event), ("gap", &told.gap, gap)] {
            if let Some(At { span, .. }) = written.as_ref().filter(|_| *limit > probe.timeout) {
                let title = format!("{key} {limit:?} is longer than the probe's timeout {:?}", probe.timeout);
                self.error(span, title, "never reached", format!("make timeout longer than {key}"));
            }
        }
    }

    /// Keys that mean nothing for a kind.
    fn idle_keys(&mut self, told: &file::Probe, kind: Kind) {
        use Kind::{Grpc, Http, Mcp, Token};
        type Fits<'a> = (&'a str, Option<&'a Range<usize>>, &'a [Kind]);
        let keys: [Fits<'_>; 10] = [
            ("path", told.path.as_ref().map(|key| &key.span), &[Http, Token, Mcp]),
            ("expect_status", told.expect_status.as_ref().map(|key| &key.span), &[Http]),
            ("expect_body", told.expect_body.as_ref().map(|key| &key.span), &[Http]),
            ("expect_json", told.expect_json.as_ref().map(|key| &key.span), &[Http]),
            ("model", told.model.as_ref().map(|key| &key.span), &[Token]),
            ("events", told.events.as_ref().map(|key| &key.span), &[Token]),
            ("first_event", told.first_event.as_ref().map(|key| &key.span), &[Token]),
            ("gap", told.gap.as_ref().map(|key| &key.span), &[Token]),
            ("service", told.service.as_ref().map(|key| &key.span), &[Grpc]),
            ("authorization_file", told.authorization_file.as_ref().map(|key| &key.span), &[Token, Mcp]),
        ];
        for (key, span, fits) in keys.into_iter().filter(|(.., fits)| !fits.contains(&kind)) {
            let Some(span) = span else { continue };
            let title = format!("{key} has no effect on a probe of kind {:?}", kind.as_str());
            let help = format!("remove {key}, or make it kind = {:?}", fits[0].as_str());
            self.error(span, title, "never looked at", help);
        }
    }
}

/// How long a probe of that kind may take unless it is said, milliseconds.
fn timeout_ms(kind: Kind) -> u64 {
    match kind {
        Kind::Http | Kind::Tcp | Kind::Grpc => 1_500,
        Kind::Token => 10_000,
        Kind::Mcp => 3_000,
    }
}

fn endpoint(
    index: RegionIndex,
    region: &Label,
    At { value: url, .. }: &At<Url>,
    said: Option<&file::Endpoint>,
) -> Endpoint {
    let mut endpoint = Endpoint {
        name: EndpointName::new(region, ""),
        region: index,
        tls: url.tls,
        host: url.host.clone(),
        port: url.port,
        connect: values(said.and_then(|said| said.connect.as_ref())),
        host_from: said.and_then(|said| said.host.as_ref()).map_or(HostFrom::Endpoint, |host| host.value),
        weight: whole(said.and_then(|said| said.weight.as_ref()), 100),
        http2: said.and_then(|said| said.http2.as_ref()).is_some_and(|http2| http2.value),
    };
    endpoint.name = match said.and_then(|said| said.name.as_ref()) {
        Some(name) => EndpointName::new(region, name.value.as_str()),
        None => EndpointName::new(region, &endpoint.authority()),
    };
    endpoint
}
