//! SCENARIOS AS FILES: what a person may write, what is told of mistakes, what is drawn at random, and that all of them
//! are written as they are read.

use anyfront::sim::cities::Cities;
use anyfront::sim::draw;
use anyfront::sim::scenario::check::{Around, Checked, Rolled, check};
use anyfront::sim::scenario::fit::Fitted;
use anyfront::sim::scenario::kind::{Kind, Of};
use anyfront::sim::scenario::{Scenario, What, Whom};
use anyfront::snapshot::Target;
use anyfront::topology::Topology;
use anyfront::topology::mistake::Mistakes;
use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

const CONFIG: &str = include_str!("../regions.toml");

struct World {
    topology: Topology,
    cities: Cities,
}

impl World {
    fn new() -> Self {
        let checked = anyfront::topology::check::check(CONFIG, Path::new("regions.toml")).expect("the fleet is right");
        Self { topology: checked.topology, cities: Cities::of_the_world() }
    }

    fn check(&self, source: &str) -> Result<Checked, Mistakes> {
        let config = |rolled: Rolled<'_>| match rolled {
            Rolled::Text(text) => Ok(Arc::from(text)),
            Rolled::File("other.toml") => Ok(Arc::from(CONFIG)),
            Rolled::File(_) => Err("cannot be read: there is none".to_owned()),
        };
        check(
            source,
            Path::new("a/story.toml"),
            &Around { topology: &self.topology, cities: &self.cities, config: &config },
        )
    }

    fn read(&self, source: &str) -> Scenario {
        self.check(source).map_err(|mistakes| format!("{mistakes}\nin\n{source}")).expect("a right scenario").scenario
    }

    /// Line and words of each mistake.
    fn mistakes(&self, source: &str) -> Vec<(usize, String)> {
        let mistakes = self.check(source).expect_err(source);
        mistakes.rows().into_iter().map(|row| (row.line, format!("{}; {}", row.message, row.help))).collect()
    }

    fn around(&self) -> draw::Around<'_> {
        draw::Around { topology: &self.topology, config: CONFIG, cities: &self.cities }
    }
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn an_empty_file_is_a_quiet_hour() {
    let world = World::new();
    let quiet = world.read("");
    assert_eq!(quiet, Scenario { name: "story".to_owned(), ..Scenario::default() });
    assert_eq!((quiet.crowd.clients, quiet.crowd.per_minute, quiet.lasts), (1_000, 1.0, seconds(3_600)));
    assert!(quiet.faults.is_empty() && quiet.demands.invariants && quiet.demands.residency);
    assert_eq!(anyfront::moment::rfc3339(quiet.starts), "2026-11-30T09:00:00.000Z");
}

#[test]
fn what_is_drawn_is_written_as_it_is_read() {
    let world = World::new();
    for seed in 0..300 {
        let (alive, _) = draw::liveness(&world.around(), seed);
        for scenario in [draw::safety(&world.around(), seed), alive] {
            let text = scenario.to_toml(&world.cities);
            let again = world.read(&text);
            assert_eq!(again, scenario, "{text}");
            assert_eq!(again.to_toml(&world.cities), text);
            let warnings = world.check(&text).expect("it was read").warnings;
            assert!(warnings.is_empty(), "{warnings}\nin\n{text}");
        }
    }
}

#[test]
fn every_kind_is_drawn_about_as_often_as_every_other() {
    let world = World::new();
    let mut met: [BTreeMap<Kind, u32>; 2] = Default::default();
    for seed in 0..2_000 {
        let (alive, _) = draw::liveness(&world.around(), seed);
        for (met, scenario) in met.iter_mut().zip([draw::safety(&world.around(), seed), alive]) {
            assert!((1..=12).contains(&scenario.faults.len()));
            assert!(scenario.faults.is_sorted_by_key(|fault| fault.at));
            for fault in &scenario.faults {
                *met.entry(fault.what.kind()).or_default() += 1;
            }
        }
    }
    for (mode, met) in ["safety", "liveness"].iter().zip(&met) {
        let fair = met.values().sum::<u32>() / u32::try_from(Kind::ALL.len()).expect("few");
        for kind in Kind::ALL {
            let times = met.get(kind).copied().unwrap_or(0);
            assert!(times > fair / 2 && times < fair * 3 / 2, "{mode}: {} {times} times, not {fair}", kind.as_str());
        }
    }
}

#[test]
fn what_a_core_needs_never_breaks() {
    let world = World::new();
    let topology = &world.topology;
    for seed in 0..2_000 {
        let (scenario, core) = draw::liveness(&world.around(), seed);
        let is_core = |name: &anyfront::names::Label| core.regions.contains(name);
        for route in topology.routes.iter().filter(|route| !route.is_regional) {
            let serves = route.members.iter().any(|member| {
                is_core(&topology.region(member.region).name) && !route.shuts_out(topology, member.region)
            });
            assert!(serves, "seed {seed}: nobody of the core serves {}", route.hostname);
        }
        assert!(!core.sites.is_empty());
        for mut fault in scenario.faults.into_iter().map(|fault| fault.what) {
            let shown = format!("seed {seed}: {fault:?} hits the core");
            let hits_site = match fault.sites_mut() {
                Some(sites) => sites.is_empty() || sites.iter().any(|site| core.sites.contains(site)),
                None => false,
            };
            let of_provider = |name: &anyfront::names::Label| {
                topology
                    .regions
                    .iter()
                    .any(|region| is_core(&region.name) && topology.providers[region.provider.at()] == *name)
            };
            let hits_region = match fault.whom_mut() {
                Some(Whom::Regions(regions)) => regions.iter().any(is_core),
                Some(Whom::Provider(name)) => of_provider(name),
                Some(Whom::All) => true,
                None => false,
            };
            let breaks = match fault.kind().of_whom() {
                Of::Ways => hits_site && hits_region,
                Of::Regions => hits_region,
                Of::Nodes => hits_site,
                Of::Target | Of::Nobody => match &fault {
                    What::Drain { target: Target::Region(name), .. } => is_core(name),
                    What::Drain { target: Target::Provider(name), .. } => of_provider(name),
                    What::Drain { target: Target::Endpoint(name), .. } => {
                        let of = topology.endpoints.iter().find(|endpoint| endpoint.name == *name);
                        of.is_some_and(|endpoint| is_core(&topology.region(endpoint.region).name))
                    }
                    _ => false,
                },
            };
            assert!(!breaks, "{shown}");
        }
        assert!(scenario.regions.iter().all(|(name, _)| !is_core(name)));
    }
}

#[test]
fn every_mistake_is_told_at_once_at_its_line() {
    let world = World::new();
    let source = r#"name = ""
lasts = "0s"
sead = 3
[ways]
loss = 5
[[site]]
name = "lon-1"
city = "Londn"
[[site]]
name = "nowhere"
[clients]
places = { Mumbay = 1, "Atlantis" = 2 }
hostnames = { "us.gateway.truefoundry.a" = 1 }
programs = { opena = 1 }
resolvers = [{ habit = "shortens" }, { habit = "never", to = "5s" }]
[[work]]
name = "x"
path = "v1"
weight = 0
[region.bon]
slots = 5
"#;
    let told = world.mistakes(source);
    let expected = [
        (1, "name \"\" is empty; write a line"),
        (2, "lasts is zero"),
        (3, "unknown key \"sead\" in the scenario; did you mean seed?"),
        (5, "loss 5 is out of range; loss is a number from 0 to 1; 5 percent is 0.05"),
        (7, "site \"lon-1\" is in the configuration already"),
        (8, "\"Londn\" is no city that is known here; did you mean \"London\"?"),
        (9, "a site without a place"),
        (12, "\"Mumbay\" is no city that is known here; did you mean \"Mumbai\"?"),
        (12, "\"Atlantis\" is no city that is known here"),
        (13, "there is no hostname \"us.gateway.truefoundry.a\"; did you mean \"us.gateway.truefoundry.ai\"?"),
        (14, "unknown key \"opena\" in clients.programs; did you mean openai?"),
        (15, "a resolver without to"),
        (15, "to means nothing for this habit"),
        (18, "path \"v1\" does not begin with /"),
        (20, "there is no region \"bon\"; did you mean \"bom\"?"),
    ];
    for (line, words) in expected {
        assert!(
            told.iter().any(|(at, text)| *at == line && text.starts_with(words)),
            "{line}: {words}\nis not in\n{told:#?}"
        );
    }
    assert!(told.len() <= expected.len() + 1, "{told:#?}");
}

#[test]
fn a_fault_says_what_it_needs_and_nothing_else() {
    let world = World::new();
    let fault = |keys: &str| format!("[[fault]]\n{}\n", keys.replace("; ", "\n"));
    let bad = [
        (r#"kind = "refuse""#, "refuse hits nothing; say one of region, regions, provider and all = true"),
        (r#"kind = "refuse"; region = "bom"; all = true"#, "refuse says twice what it hits"),
        (r#"kind = "refuse"; region = "bmo""#, "there is no region \"bmo\"; did you mean \"bom\"?"),
        (r#"kind = "refuse"; provider = "asw""#, "there is no provider \"asw\"; did you mean \"aws\"?"),
        (r#"kind = "refuse"; regions = []"#, "regions is empty"),
        (r#"kind = "refuse"; regions = ["bom", "bom"]"#, "region \"bom\" is there twice"),
        (
            r#"kind = "refuse"; region = "bom"; share = 0.5"#,
            "share means nothing for refuse; refuse takes at, lasts, region, regions, provider, all",
        ),
        (r#"kind = "refused"; region = "bom""#, "kind \"refused\" is not known here; did you mean \"refuse\"?"),
        (r#"kind = "refuse"; region = "bom"; at = "1h""#, "a fault that begins when all is over"),
        (r#"kind = "refuse"; region = "bom"; lasts = "0s""#, "lasts is zero"),
        (r#"kind = "slow"; region = "bom""#, "slow without times; add a line such as times = 10"),
        (r#"kind = "slow"; region = "bom"; times = 0"#, "times is zero"),
        (
            r#"kind = "errors"; region = "bom"; share = 50"#,
            "share 50 is out of range; share is a number from 0 to 1; 50 percent is 0.5",
        ),
        (r#"kind = "errors"; region = "bom"; status = 99"#, "status 99 is out of range"),
        (r#"kind = "loss"; site = "lon-1"; all = true"#, "loss without share"),
        (r#"kind = "cut"; site = "lon-2"; all = true"#, "there is no site \"lon-2\"; did you mean \"lon-1\"?"),
        (r#"kind = "crash""#, "crash hits nothing; say one of site, sites and all = true"),
        (
            r#"kind = "crash"; region = "bom""#,
            "region means nothing for crash; crash takes at, lasts, site, sites, all",
        ),
        (r#"kind = "clock_step"; all = true"#, "clock_step without seconds"),
        (r#"kind = "clock_drift"; all = true; millionths = 900000"#, "millionths 900000 is out of range"),
        (r#"kind = "channel_late"; all = true"#, "channel_late without by"),
        (r#"kind = "disk_lost"; all = true; lasts = "5m""#, "disk_lost is over in a moment"),
        (r#"kind = "drain""#, "drain hits nothing; say one of region, provider and endpoint"),
        (r#"kind = "drain"; endpoint = "bom/b""#, "there is no endpoint \"bom/b\""),
        (r#"kind = "rollout""#, "rollout hits nothing; say one of file and config"),
        (r#"kind = "rollout"; file = "no.toml""#, "file \"no.toml\" cannot be read: there is none"),
        (r#"kind = "geo_shift""#, "geo_shift without share"),
        (r#"kind = "traffic""#, "traffic without times"),
        (r#"kind = "herd""#, "herd without lasts"),
        (r#"region = "bom""#, "[[fault]] without kind"),
    ];
    for (keys, words) in bad {
        let told = world.mistakes(&fault(keys));
        assert!(told.iter().any(|(_, text)| text.starts_with(words)), "{keys}: {words}\nis not in\n{told:#?}");
    }
    let good = [
        (r#"kind = "refuse"; region = "bom"; at = "59m59s""#, Kind::Refuse),
        (r#"kind = "errors"; provider = "aws""#, Kind::Errors),
        (r#"kind = "rollout"; file = "other.toml""#, Kind::Rollout),
        (r#"kind = "crash"; all = true"#, Kind::Crash),
        (r#"kind = "herd"; lasts = "5m""#, Kind::Herd),
        (r#"kind = "bad_rollout""#, Kind::BadRollout),
    ];
    for (keys, kind) in good {
        assert_eq!(world.read(&fault(keys)).faults[0].what.kind(), kind, "{keys}");
    }
}

#[test]
fn a_story_means_what_it_says() {
    let world = World::new();
    let checked = world.check(
        r#"
starts = 2026-11-30T08:30:00+05:30
lasts = "1d2h"
[clients]
places = { Mumbai = 3, "london, gb" = 1 }
countries = { IN = 1 }
[usual]
slots = 10
[region.bom]
queue = 0.5
[region.sin]
slots = 0
[[fault]]
at = "1h30m"
kind = "cut"
region = "bom"
direction = "back"
[[fault]]
kind = "traffic"
times = 2
lasts = "2d"
"#,
    );
    let Checked { scenario, warnings } = checked.expect("a story");
    assert_eq!(scenario.lasts, seconds(26 * 3_600));
    assert_eq!(anyfront::moment::rfc3339(scenario.starts), "2026-11-30T03:00:00.000Z");
    let places: BTreeMap<&str, u32> =
        scenario.crowd.places.iter().map(|(city, weight)| (world.cities.all()[*city].name, *weight)).collect();
    assert_eq!(places["London"], 1_000);
    assert!((3_001..4_000).contains(&places["Mumbai"]), "its own weight and its share of India's: {places:?}");
    assert!(places["Delhi"] > 0 && places["Delhi"] < 1_000, "{places:?}");
    let slots: Vec<(&str, Option<u32>, f64)> =
        scenario.regions.iter().map(|(name, truth)| (name.as_str(), truth.slots, truth.queue)).collect();
    assert_eq!(slots, [("bom", Some(10), 0.5), ("sin", None, 1.0)]);
    assert_eq!(scenario.faults[0].what, What::Traffic(2.0), "in the order of their begin");
    assert!(warnings.to_string().contains("a fault that ends after the scenario"), "{warnings}");
    assert_eq!(world.read(&scenario.to_toml(&world.cities)), Scenario { ..scenario });
}

#[test]
fn a_scenario_is_fitted_to_a_configuration_it_was_not_written_for() {
    let mut world = World::new();
    let story = r#"
[[site]]
name = "here"
city = "Oslo"
[region.bom]
slots = 3
[[fault]]
kind = "refuse"
regions = ["bom", "lhr"]
[[fault]]
kind = "refuse"
region = "bom"
[[fault]]
kind = "crash"
site = "here"
[[fault]]
kind = "drain"
region = "bom"
"#;
    let scenario = world.read(story);
    let same = scenario.fitted(&world.topology).expect("it fits");
    assert_eq!((&same.scenario, same.left_out.as_slice()), (&scenario, &[][..]));
    world.topology.regions.retain(|region| region.name.as_str() != "bom");
    let Fitted { scenario: fitted, left_out } = scenario.fitted(&world.topology).expect("most of it fits");
    let told = ["what region bom is like", "a part of fault 1 (refuse)", "fault 2 (refuse)", "fault 4 (drain)"];
    assert_eq!(left_out, told);
    let lhr = anyfront::names::Label::parse("lhr").expect("a name");
    assert_eq!(fitted.faults[0].what, What::Refuse(Whom::Regions(vec![lhr])));
    let kinds: Vec<Kind> = fitted.faults.iter().map(|fault| fault.what.kind()).collect();
    assert_eq!(kinds, [Kind::Refuse, Kind::Crash]);
    assert!(fitted.regions.is_empty());
}

#[test]
fn wishes_for_a_hostname_that_is_not_there_are_not_made() {
    let world = World::new();
    let hostnames = "hostnames = { \"gateway.truefoundry.ai\" = 1, \"us.gateway.truefoundry.ai\" = 3 }";
    let scenario = world.read(&format!("[clients]\nper_minute = 8\n{hostnames}\n"));
    let mut fewer = world.topology.clone();
    fewer.route_by_hostname.retain(|name, _| name.as_str() != "us.gateway.truefoundry.ai");
    let fitted = scenario.fitted(&fewer).expect("one is left");
    let crowd = &fitted.scenario.crowd;
    assert_eq!((crowd.hostnames.len(), crowd.per_minute), (1, 2.0));
    assert_eq!(fitted.left_out, ["what is asked of us.gateway.truefoundry.ai"]);
    fewer.route_by_hostname.clear();
    let problem = scenario.fitted(&fewer).expect_err("none is left");
    assert_eq!(problem, "it has none of the hostnames that are asked for");
}

#[test]
fn nobody_may_ask_for_more_than_is_sensible() {
    let world = World::new();
    let traffic = |times: u32, at: u32| format!("[[fault]]\nkind = \"traffic\"\ntimes = {times}\nat = \"{at}m\"\n");
    let (in_all, at_once) = ("clients ask 360000000 times in all", "clients ask 1000000 times a second");
    let crowd = |count: u32| format!("lasts = \"1h\"\n[clients]\ncount = {count}\nper_minute = 60\n");
    let cases = [
        (crowd(100_000), 4, in_all),
        (crowd(1_000_000).replace("1h", "10s"), 4, at_once),
        // Each alone would do.
        (format!("{}{}{}", crowd(1_000), traffic(20, 58), traffic(50, 59)), 11, at_once),
    ];
    for (source, line, words) in cases {
        let told = world.mistakes(&source);
        let is_told = |(at, text): &(usize, String)| *at == line && text.starts_with(words);
        assert!(told.iter().any(is_told), "{line}: {words}\nis not in\n{told:#?}");
    }
    // What does not overlap is not multiplied, and nothing at all is no mistake.
    let spell = |times: u32, at: u32| format!("{}lasts = \"1m\"\n", traffic(times, at));
    world.read(&format!("{}{}{}{}", crowd(1_000), spell(20, 57), spell(50, 58), spell(0, 59)));
    let told = world.mistakes("[clients]\ncount = 0\n");
    assert!(told[0].0 == 2 && told[0].1.starts_with("count 0 is out of range"), "{told:#?}");
}

#[test]
fn a_rollout_has_no_region_that_the_configuration_has_not() {
    let mut world = World::new();
    let story = "[[fault]]\nkind = \"rollout\"\nfile = \"other.toml\"\n";
    world.read(story);
    // The file that is rolled out has it still.
    for region in &mut world.topology.regions {
        if region.name.as_str() == "bom" {
            region.name = anyfront::names::Label::parse("xyz").expect("a name");
        }
    }
    let told = world.mistakes(story);
    assert_eq!((told[0].0, told.len()), (3, 1), "{told:#?}");
    assert!(told[0].1.starts_with("file \"other.toml\" has a region \"bom\""), "{told:#?}");
}

#[test]
fn the_told_stories_are_right() {
    let world = World::new();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/scenarios");
    let mut stories = 0;
    for entry in std::fs::read_dir(folder).expect("there are some") {
        let path = entry.expect("readable").path();
        let source = std::fs::read_to_string(&path).expect("readable");
        let checked = world.check(&source).unwrap_or_else(|mistakes| panic!("{}:\n{mistakes}", path.display()));
        assert!(checked.warnings.is_empty(), "{}:\n{}", path.display(), checked.warnings);
        assert!(!checked.scenario.faults.is_empty() && checked.scenario.demands.availability_percent.is_some());
        stories += 1;
    }
    assert!(stories >= 3);
}

#[test]
fn the_schema_knows_every_kind_and_key() {
    let schema = anyfront::sim::scenario::file::schema();
    let fault = &schema["properties"]["fault"]["items"]["properties"];
    let kinds = fault["kind"]["oneOf"].as_array().expect("a list");
    assert_eq!(kinds.len(), Kind::ALL.len());
    for kind in Kind::ALL {
        assert!(kinds.iter().any(|known| known["const"] == kind.as_str()), "{}", kind.as_str());
        for key in kind.own_keys().iter().chain(kind.whose_keys()) {
            assert!(fault[key].is_object(), "{} takes {key}, and there is no such key", kind.as_str());
        }
    }
}

/// Runs the program: its exit status, standard output and standard error.
fn run(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_anyfront"));
    let done = command.current_dir(folder).arg("simulate").args(arguments).output().expect("it runs");
    let text = |bytes: Vec<u8>| String::from_utf8(bytes).expect("text");
    (done.status.code(), text(done.stdout), text(done.stderr))
}

fn folder(files: &[(&str, &str)]) -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("regions.toml"), CONFIG).expect("written");
    for (name, text) in files {
        std::fs::write(folder.path().join(name), text).expect("written");
    }
    folder
}

const SHORT: &str = "lasts = \"20s\"\n[clients]\ncount = 30\nper_minute = 20\n";

#[test]
fn the_exit_status_is_a_gate() {
    let broken = format!("{SHORT}[[fault]]\nkind = \"isolate\"\nall = true\n[demand]\navailability_percent = 99\n");
    let holds = format!("{SHORT}[demand]\navailability_percent = 90\n");
    let files =
        [("broken.toml", broken.as_str()), ("holds.toml", holds.as_str()), ("bad.toml", "lasts = 3\nfalt = 1\n")];
    let folder = folder(&files);
    let run = |arguments: &[&str]| run(folder.path(), arguments);

    let (status, out, err) = run(&["holds.toml", "--config", "regions.toml", "--report", "out", "--trace", "first"]);
    assert_eq!((status, err.as_str()), (Some(0), ""), "{out}");
    assert!(out.contains("HOLDS"), "{out}");
    let report = std::fs::read_to_string(folder.path().join("out/report.json")).expect("a report");
    let report: serde_json::Value = serde_json::from_str(&report).expect("JSON");
    assert!(report["total"]["wishes"].as_u64().expect("a number") > 50, "{report:#}");
    assert!(report["run"]["times_real_time"].is_number());

    let (status, out, err) = run(&["broken.toml", "--config", "regions.toml"]);
    assert_eq!(status, Some(1), "{out}{err}");
    assert!(err.contains("availability_percent"), "{err}");

    let (status, out, err) = run(&["bad.toml", "--config", "regions.toml"]);
    assert_eq!((status, out.as_str()), (Some(2), ""));
    assert!(
        err.contains("lasts is a number") && err.contains("did you mean fault?") && err.contains("bad.toml:2"),
        "{err}"
    );
    let (status, _, err) = run(&["holds.toml", "--config", "bad.toml"]);
    assert_eq!(status, Some(2), "{err}");
    let (status, _, err) = run(&["none.toml", "--config", "regions.toml"]);
    assert_eq!(status, Some(2));
    assert!(err.contains("none.toml cannot be read"), "{err}");
}

#[test]
fn one_number_repeats_a_run_and_another_does_not() {
    let folder = folder(&[("story.toml", SHORT)]);
    let trace = |name: &str, seed: &str| {
        let arguments = ["story.toml", "--config", "regions.toml", "--seed", seed, "--trace", name];
        let (status, out, err) = run(folder.path(), &arguments);
        assert_eq!(status, Some(0), "{out}{err}");
        std::fs::read_to_string(folder.path().join(name)).expect("a trace")
    };
    let first = trace("a", "7");
    assert!(first.lines().count() > 500 && first.starts_with("2026-11-30T09:00:00."), "{}", &first[..200]);
    assert_eq!(first, trace("b", "7"));
    assert_ne!(first, trace("c", "8"));
}

#[test]
fn two_configurations_are_shown_side_by_side() {
    let story = format!("{SHORT}[[fault]]\nkind = \"refuse\"\nregion = \"bom\"\n");
    // The other one has no Mumbai: what happens there is left out.
    let start = CONFIG.find("[[region]]\nname = \"bom\"").expect("it is there");
    let end = start + CONFIG[start + 1..].find("[[region]]").expect("others follow") + 1;
    let other = format!("{}{}", &CONFIG[..start], &CONFIG[end..]);
    let folder = folder(&[("story.toml", story.as_str()), ("other.toml", other.as_str())]);
    let arguments = ["story.toml", "--config", "regions.toml", "--compare", "other.toml", "--json"];
    let (status, out, err) = run(folder.path(), &arguments);
    assert_eq!(status, Some(0), "{out}{err}");
    let both: serde_json::Value = serde_json::from_str(&out).expect("JSON");
    let name = |which: &str| both[which]["configuration"].as_str().map(str::to_owned);
    assert_eq!((name("before").as_deref(), name("after").as_deref()), (Some("regions.toml"), Some("other.toml")));
    let faults = |which: &str| both[which]["faults"].as_array().map(Vec::len);
    assert_eq!((faults("before"), faults("after")), (Some(1), Some(0)));
}

#[test]
fn a_demand_on_either_configuration_is_a_gate() {
    let story = format!("{SHORT}[demand]\nload_percent = 0.01\nresidency = false\ninvariants = false\n");
    let rollout = format!("{SHORT}[[fault]]\nkind = \"rollout\"\nfile = \"regions.toml\"\n");
    // Nothing is known of how much the regions of the one bear, and those of the other bear hardly anything.
    let tight = CONFIG.replace("[[region]]\n", "[[region]]\ncapacity = 1\n");
    let folder = folder(&[("story.toml", &story), ("rollout.toml", &rollout), ("tight.toml", &tight)]);
    let run = |arguments: &[&str]| run(folder.path(), arguments);
    let (holds, fails) = ("regions.toml", "tight.toml");
    for (first, second) in [(holds, fails), (fails, holds)] {
        let (status, out, err) = run(&["story.toml", "--config", first, "--compare", second]);
        assert_eq!(status, Some(1), "{out}{err}");
        assert!(err.contains(&format!("anyfront: {fails}: load_percent")) && !err.contains(holds), "{err}");
    }
    let (status, out, err) = run(&["rollout.toml", "--config", "regions.toml", "--json"]);
    assert_eq!(status, Some(0), "{err}");
    assert!(out.contains("rollout of another configuration") && !out.contains("[fleet]"), "{out}");
}

#[test]
fn what_cannot_be_written_or_means_nothing_is_status_two() {
    let folder = folder(&[("story.toml", SHORT), ("file", ""), ("secret", "kept")]);
    let run = |arguments: &[&str]| run(folder.path(), arguments);
    let story = ["story.toml", "--config", "regions.toml"];
    let (status, out, err) = run(&[&story[..], &["--report", "file/out"]].concat());
    assert_eq!((status, out.as_str()), (Some(2), ""), "nothing was played: {err}");
    assert!(err.contains("file/out cannot be made"), "{err}");
    assert_eq!(run(&[&story[..], &["--trace", "none/trace"]].concat()).0, Some(2));

    let out = folder.path().join("out");
    std::fs::create_dir(&out).expect("made");
    std::os::unix::fs::symlink("../secret", out.join("report.json")).expect("made");
    assert_eq!(run(&[&story[..], &["--report", "out"]].concat()).0, Some(0));
    assert_eq!(std::fs::read_to_string(folder.path().join("secret")).expect("there"), "kept");
    assert!(!out.join("report.json").is_symlink());
    assert_eq!(std::fs::read_dir(&out).expect("readable").count(), 3, "nothing is left beside the reports");

    let (status, _, err) = run(&["--config", "regions.toml", "--search", "0"]);
    assert_eq!(status, Some(2), "{err}");
    let last = u64::MAX.to_string();
    let (status, _, err) = run(&["--config", "regions.toml", "--search", "2", "--from-seed", &last]);
    assert_eq!(status, Some(2), "{err}");
    assert!(err.contains("there are no 2 seeds from 18446744073709551615 on"), "{err}");
}

#[test]
fn a_record_counts_what_can_be_asked_again() {
    let line = |hostname: &str| {
        format!(
            "{{\"time\":\"2026-11-27T06:00:01.000Z\",\"client\":\"2.125.160.0/24\",\"hostname\":\"{hostname}\",\"method\":\"POST\",\
             \"path\":\"/v1/embeddings\",\"status\":200,\"outcome\":\"complete\",\"region\":\"lhr\",\"failed\":[]}}\n"
        )
    };
    let mixed = line("gateway.truefoundry.ai").repeat(12) + &line("foreign.example").repeat(30);
    let foreign = line("foreign.example").repeat(3) + "no line\n";
    let folder = folder(&[("mixed", &mixed), ("foreign", &foreign), ("empty", "")]);
    let record = |log: &str, from: &str| {
        let window = ["--from", from, "--to", "2026-11-27T06:01:00Z"];
        run(folder.path(), &[&["--record", log, "--config", "regions.toml"][..], &window].concat())
    };
    let (status, out, err) = record("mixed", "2026-11-27T06:00:00Z");
    assert_eq!(status, Some(0), "{err}");
    let crowd = World::new().read(&out).crowd;
    let rate = f64::from(crowd.clients) * crowd.per_minute * f64::from(crowd.stands_for);
    assert!((rate - 12.0).abs() < 0.1 && crowd.hostnames.len() == 1, "{rate} a minute: {out}");
    assert!(out.contains("# 30 lines are for hostnames that the configuration has not."), "{out}");
    for (log, from, why) in [
        ("empty", "2026-11-27T06:00:00Z", "empty has nothing of that time to record"),
        (
            "foreign",
            "2026-11-27T06:00:00Z",
            "record: 3 lines are for hostnames that the configuration has not. 1 lines could not be read.",
        ),
        ("mixed", "2026-11-27T06:00:30Z", "record: 42 lines are of other times."),
    ] {
        let (status, out, err) = record(log, from);
        assert_eq!((status, out.as_str()), (Some(2), ""), "{err}");
        assert!(err.contains(why), "{err}");
    }
}

#[test]
fn an_access_log_becomes_a_scenario_that_can_be_played() {
    let line = |second: u32, client: &str, failed: &str| {
        format!(
            "{{\"time\":\"2026-11-27T06:00:{second:02}.000Z\",\"client\":\"{client}\",\"hostname\":\"gateway.truefoundry.ai\",\
             \"method\":\"POST\",\"path\":\"/v1/embeddings\",\"status\":200,\"outcome\":\"complete\",\"region\":\"lhr\",\
             \"failed\":[{failed}],\"elapsed_ms\":120.0,\"head_ms\":110.0}}\n"
        )
    };
    let failed =
        "{\"region\":\"bom\",\"endpoint\":\"bom/x\",\"reason\":\"refused\",\"generation\":3,\"elapsed_ms\":1.0}";
    let log: String = (0..30).map(|at| line(at, "2.125.160.0/24", if at < 9 { failed } else { "" })).collect();
    let folder = folder(&[("access.jsonl", log.as_str())]);
    let window = ["--from", "2026-11-27T06:00:00Z", "--to", "2026-11-27T06:01:00Z"];
    let arguments = [&["--record", "access.jsonl", "--config", "regions.toml"][..], &window].concat();
    let (status, out, err) = run(folder.path(), &arguments);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let world = World::new();
    let scenario = world.read(&out);
    assert_eq!(scenario.faults.len(), 1, "{out}");
    assert_eq!(scenario.faults[0].what.kind(), Kind::Refuse);
    assert_eq!(scenario.crowd.hostnames.len(), 1);
    assert_eq!(&*scenario.crowd.work[0].0.path, "/v1/embeddings");
    assert!(
        !scenario.crowd.places.is_empty() && out.starts_with("# Recorded from an access log: 30 requests."),
        "{out}"
    );
    std::fs::write(folder.path().join("again.toml"), out).expect("written");
    assert_eq!(run(folder.path(), &["again.toml", "--config", "regions.toml"]).0, Some(0));

    let (status, _, err) = run(
        folder.path(),
        &["--record", "none", "--config", "regions.toml", window[0], window[1], window[2], window[3]],
    );
    assert_eq!(status, Some(2));
    assert!(err.contains("none cannot be read"), "{err}");
}

#[test]
fn a_history_becomes_a_scenario_with_its_outages_and_drains() {
    let folder = folder(&[]);
    let history = rusqlite::Connection::open(folder.path().join("history.db")).expect("a file");
    history.execute_batch(include_str!("../src/history/records/tables.sql")).expect("its tables");
    history
        .execute_batch("INSERT INTO vantage VALUES (1, 'lon-1'); INSERT INTO series VALUES (1, 1, 'hostname:us.gateway.truefoundry.ai')")
        .expect("written");
    let from: i64 = 1_796_029_200; // 2026-11-30T09:00:00Z
    let mut change = history
        .prepare(
            "INSERT INTO change (at_ms, vantage, kind, name, was, is_now, reason) VALUES (?1, 1, ?2, ?3, '', ?4, ?5)",
        )
        .expect("a statement");
    for (second, kind, name, is, reason) in [
        (-60, "region", "lhr", "down", "probes fail: no answer in time"),
        (30, "region", "lhr", "up", "probes pass"),
        (60, "region", "bom", "down", "probes fail: connection refused"),
        (90, "drain", "provider:gcp", "drained", "a move"),
        (100, "region", "xyz", "down", "probes fail: connection refused"),
        (600, "region", "sin", "down", "probes fail: connection refused"),
    ] {
        change.execute(((from + second) * 1_000, kind, name, is, reason)).expect("written");
    }
    let mut minute = history
        .prepare("INSERT INTO minute (id, operational, maintenance, unknown, degraded, partial, major, requests, failures, times) VALUES (?1, 0, 0, 0, 0, 0, 0, 500, 0, x'')")
        .expect("a statement");
    for at in 0..20 {
        minute.execute([((from / 60 + at) << 16) | 1]).expect("written");
    }
    let path = folder.path().display().to_string();
    let window = ["--from", "2026-11-30T09:00:00Z", "--to", "2026-11-30T09:10:00Z"];
    let arguments = [&["--record", path.as_str(), "--config", "regions.toml"][..], &window].concat();
    let (status, out, err) = run(folder.path(), &arguments);
    assert_eq!((status, err.as_str()), (Some(0), ""));
    let scenario = World::new().read(&out);
    let told: Vec<(u64, Option<u64>, Kind)> = scenario
        .faults
        .iter()
        .map(|fault| (fault.at.as_secs(), fault.lasts.map(|lasts| lasts.as_secs()), fault.what.kind()))
        .collect();
    assert_eq!(told, [(0, Some(30), Kind::BlackHole), (60, None, Kind::Refuse), (90, None, Kind::Drain)], "{out}");
    assert!(out.contains("# 1 faults hit what is not in regions.toml"), "{out}");
    let crowd = &scenario.crowd;
    let rate = f64::from(crowd.clients) * crowd.per_minute * f64::from(crowd.stands_for);
    assert!((rate - 500.0).abs() < 1.0, "{rate} a minute: those after the window do not count");
    assert_eq!(crowd.hostnames[0].0.as_str(), "us.gateway.truefoundry.ai");
}
