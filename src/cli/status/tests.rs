//! What the terminal view looks like at any size.

use super::*;
use crate::moment::Moment;
use crate::status::totals::Totals;
use crate::status::view::{DecisionView, DrainView, EndpointView, HostnameView, Overview, ProblemView, RegionView};
use model::Model;
use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::style::Color;
use view::{Panel, Sort};

fn region(name: &str, provider: &str, city: &str, standing: &str, reason: &str, ms: f64) -> RegionView {
    let endpoint = |what: &str| EndpointView {
        name: format!("{name}/{what}.example"),
        standing: standing.to_owned(),
        reason_text: reason.to_owned(),
        share_percent: 100,
        addresses: vec!["192.0.2.1:443".to_owned()],
        ..EndpointView::default()
    };
    RegionView {
        name: name.to_owned(),
        provider: provider.to_owned(),
        city: Some(city.to_owned()),
        country: Some("US".to_owned()),
        standing: standing.to_owned(),
        reason_text: reason.to_owned(),
        since_s: 190.0,
        share_percent: 100,
        round_trip_ms: Some(ms),
        in_flight: 3,
        endpoints: vec![endpoint("a"), endpoint("b")],
        ..RegionView::default()
    }
}

fn sample(uptime_s: f64, requests: u64) -> Sample {
    let mut regions = vec![
        region("orf", "aws", "North Virginia", "down", "probes fail: connection refused", 76.2),
        region("yyz", "gcp", "Toronto", "up", "probes pass", 88.0),
        region("lhr", "aws", "London", "strained", "far slower than usual", 1.3),
        region("sin", "aws", "Singapore", "up", "probes pass", 160.0),
    ];
    regions[1].requests = requests;
    regions[3].drained = Some("soft".to_owned());
    let decision = |region: Option<&str>, tried: &[&str], status| DecisionView {
        age_ms: 350.0,
        hostname: "us.gateway.example".to_owned(),
        client: "203.0.113.0/24".to_owned(),
        place: "New York, US".to_owned(),
        method: "POST".to_owned(),
        region: region.map(str::to_owned),
        status,
        attempts: 1,
        tried: tried.iter().map(ToString::to_string).collect(),
        elapsed_ms: 87.6,
        ..DecisionView::default()
    };
    let levels = vec![vec!["orf".to_owned()], vec!["yyz".to_owned()]];
    let node = Overview {
        site: "lon-1".to_owned(),
        fleet: "example".to_owned(),
        version: "0.1.0".to_owned(),
        generation: 42,
        uptime_s,
        counters: Totals { requests, open: 12, failovers: requests / 10, ..Totals::default() },
        regions,
        hostnames: vec![HostnameView { name: "us.gateway.example".to_owned(), levels, ..HostnameView::default() }],
        drains: vec![DrainView {
            target: "region:sin".to_owned(),
            reason: "upgrade".to_owned(),
            who: "ada@desk".to_owned(),
            ..DrainView::default()
        }],
        ..Overview::default()
    };
    Sample {
        node,
        decisions: vec![
            decision(Some("yyz"), &["orf"], 200),
            decision(None, &["orf", "yyz"], 503),
            decision(Some("yyz"), &["orf", "orf"], 404),
        ],
    }
}

fn watched() -> Model {
    let mut model = Model::of("127.0.0.1:9900");
    model.saw(sample(100.0, 1_000));
    model.saw(sample(101.0, 1_120));
    model.saw(sample(102.0, 1_300));
    model
}

fn drawn(model: &Model, view: &View, width: u16, height: u16) -> String {
    text(model, view, Rect::new(0, 0, width, height))
}

#[test]
fn a_wide_terminal_shows_everything() {
    let text = drawn(&watched(), &View::default(), 140, 30);
    for part in [
        "example at lon-1  up 1m  generation 42",
        "180 req/s",
        "12 open",
        "18.0 failovers/s",
        "○ down",
        "probes fail: connection refused",
        "◐ strained",
        "= drained",
        "by an operator; else up: probes pass",
        "North Virginia, US",
        "203.0.113.0/24",
        "New York, US",
        "us.gateway.example",
        "orf→yyz",
        "orf→yyz→nobody",
        "orf×2→yyz",
        "503",
        "88ms",
        "q quit",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
}

#[test]
fn what_matters_stays_on_a_small_terminal() {
    for (width, height) in [(80, 24), (60, 20), (60, 14)] {
        let text = drawn(&watched(), &View::default(), width, height);
        for part in ["orf", "○ down", "probes fail", "req/s", "orf→yyz", "200", "q quit"] {
            assert!(text.contains(part), "{part:?} is missing at {width}x{height} in\n{text}");
        }
        assert!(text.lines().all(|line| line.chars().count() <= usize::from(width)));
    }
}

#[test]
fn no_size_is_too_small_to_draw() {
    let mut view = View::default();
    for panel in [Panel::Decisions, Panel::Details, Panel::Problem, Panel::Help] {
        view.panel = panel;
        for width in [0, 1, 2, 7, 20, 41] {
            for height in [0, 1, 2, 3, 4, 5, 9] {
                let _ = Terminal::new(TestBackend::new(width.max(1), height.max(1)))
                    .expect("a terminal")
                    .draw(|frame| draw::draw(&watched(), &view, Moment::ZERO, frame.area(), frame.buffer_mut()));
                drawn(&Model::of("x"), &view, width.max(1), height.max(1));
            }
        }
    }
}

#[test]
fn colours_are_never_the_only_signal_and_can_be_off() {
    let area = Rect::new(0, 0, 120, 24);
    let mut plain = Buffer::empty(area);
    draw::draw(&watched(), &View::default(), Moment::ZERO, area, &mut plain);
    assert!(plain.content.iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset));
    let mut colored = Buffer::empty(area);
    let view = View { is_colored: true, ..View::default() };
    draw::draw(&watched(), &view, Moment::ZERO, area, &mut colored);
    assert!(colored.content.iter().any(|cell| cell.fg == Color::Red));
    let symbols = |buffer: &Buffer| buffer.content.iter().map(|cell| cell.symbol().to_owned()).collect::<String>();
    assert_eq!(symbols(&plain), symbols(&colored));
}

#[test]
fn banners_say_what_a_person_must_know() {
    let mut model = watched();
    model.lost(Moment::ZERO, "no node answers at 127.0.0.1:9900".to_owned());
    let node = &mut model.sample.as_mut().expect("a sample").node;
    node.suspect = true;
    node.problem =
        Some(ProblemView { since_s: 200.0, text: "error: region \"orff\" is not known\n --> x:3".to_owned() });
    let text = drawn(&model, &View::default(), 100, 24);
    for part in [
        "NODE GONE for 0.0s",
        "no node answers",
        "SUSPECTS ITSELF",
        "CONFIG REFUSED 3m ago",
        "region \"orff\" is not known",
    ] {
        assert!(text.contains(part), "{part:?} is missing in\n{text}");
    }
    let text = drawn(&model, &View { panel: Panel::Problem, ..View::default() }, 100, 30);
    assert!(text.contains(" --> x:3"), "{text}");
}

#[test]
fn keys_select_open_sort_and_quit() {
    let model = watched();
    let mut view = View::default();
    let press = |view: &mut View, code| view.press(KeyEvent::new(code, KeyModifiers::NONE), &model);
    assert!(press(&mut view, KeyCode::Down));
    assert_eq!(view.selected.as_deref(), Some("yyz"));
    press(&mut view, KeyCode::Enter);
    let text = drawn(&model, &view, 100, 30);
    assert!(text.contains("├") && text.contains("├ a.example"), "{text}");
    press(&mut view, KeyCode::Char('s'));
    assert_eq!(view.sort, Sort::Standing);
    let names: Vec<&str> = view.sorted(&model).iter().map(|region| &*region.name).collect();
    assert_eq!(names, ["sin", "orf", "lhr", "yyz"]);
    assert_eq!(view.selected.as_deref(), Some("yyz"), "sorting moved the choice");
    press(&mut view, KeyCode::End);
    press(&mut view, KeyCode::Char('j'));
    assert_eq!(view.selected.as_deref(), Some("yyz"));
    press(&mut view, KeyCode::Home);
    press(&mut view, KeyCode::Char('d'));
    let text = drawn(&model, &view, 100, 40);
    assert!(text.contains("region:sin by ada@desk, until it is lifted: upgrade"), "{text}");
    press(&mut view, KeyCode::Char('p'));
    assert!(drawn(&model, &view, 100, 30).contains("PAUSED"));
    assert!(press(&mut view, KeyCode::Esc), "Esc leaves a panel first");
    assert!(!press(&mut view, KeyCode::Esc));
    assert!(!press(&mut view, KeyCode::Char('q')));
    assert!(!view.press(KeyEvent::new(KeyCode::Char('c'), KeyModifiers::CONTROL), &model));
}

#[test]
fn the_selected_region_is_always_on_the_screen() {
    let mut model = Model::of("x");
    let mut many = sample(1.0, 1);
    many.node.regions = (0..200).map(|at| region(&format!("r{at}"), "aws", "X", "up", "probes pass", 1.0)).collect();
    model.saw(many);
    let mut view = View::default();
    for _ in 0..150 {
        view.press(KeyEvent::new(KeyCode::Down, KeyModifiers::NONE), &model);
        let selected = view.selected.clone().expect("one is selected");
        let text = drawn(&model, &view, 80, 24);
        assert!(text.contains(&format!("{selected} ")), "{selected} is not in\n{text}");
    }
}

#[test]
fn what_a_node_sends_cannot_command_the_terminal() {
    let mut model = watched();
    model.sample.as_mut().expect("a sample").decisions[0].hostname = "a\u{1b}[2Jb\u{9b}c".to_owned();
    let text = drawn(&model, &View::default(), 120, 30);
    assert!(!text.contains(['\u{1b}', '\u{9b}']), "{text:?}");
}

#[test]
fn a_page_has_no_keys_and_no_selection() {
    let view = View { is_page: true, ..View::default() };
    let mut model = watched();
    let node = &mut model.sample.as_mut().expect("a sample").node;
    node.regions[1].endpoints[1].standing = "down".to_owned();
    let text = drawn(&model, &view, 100, 60);
    assert!(!text.contains("q quit") && !text.contains('>'), "{text}");
    // Endpoints are shown where they differ: one is down at yyz, and none of sin is drained by itself.
    assert_eq!(text.matches("├ a.example").count(), 2, "{text}");
}
