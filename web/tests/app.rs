//! The page's engine as the worker drives it: events in, markup out.

use igvm_core::span::Span;
use igvm_core::x86::Register;
use igvm_web::app::{App, Event, Update};
use igvm_web::model::blocks::ByteSource;
use igvm_web::model::export::Sink;
use igvm_web::model::focus::{Focus, Pane, Selection, Subject};
use proptest::prelude::*;
use serde_json::json;

fn sample(name: &str) -> Vec<u8> {
    (igvm_samples::by_name(name).unwrap().build)()
}

fn open(app: &mut App, name: &str, bytes: Vec<u8>) -> Update {
    app.open(Subject::Sample(name.into()), bytes.len() as u64, Box::new(bytes))
}

fn go(app: &mut App, focus: &Focus) -> Update {
    app.act(Event::Go { fragment: focus.href() })
}

fn markup<'a>(update: &'a Update, region: &str) -> &'a str {
    let found = update.regions.iter().find(|(name, _)| *name == region);
    found.map_or("", |(_, markup)| markup)
}

/// Every pane with every kind of selection.
fn focuses(name: &str) -> Vec<Focus> {
    let selections = [
        None,
        Some(Selection::Header(0)),
        Some(Selection::Header(u32::MAX)),
        Some(Selection::Register(0, Register::Cr0)),
        Some(Selection::Register(0, Register::Cs)),
        Some(Selection::Register(0, Register::Gdtr)),
        Some(Selection::Guest(0x1000)),
        Some(Selection::Guest(u64::MAX)),
        Some(Selection::File(0x30)),
        Some(Selection::File(u64::MAX)),
        Some(Selection::Linear(0x1000)),
        Some(Selection::Linear(u64::MAX)),
    ];
    let panes = Pane::ALL.into_iter();
    panes
        .flat_map(|pane| {
            selections.map(|selection| Focus {
                subject: Some(Subject::Sample(name.into())),
                pane,
                selection,
                ..Focus::default()
            })
        })
        .collect()
}

/// The page's policy forbids both; a file must not bring any in.
fn is_plain(update: &Update) -> bool {
    update.regions.iter().all(|(_, markup)| {
        !markup.contains("<script") && !markup.contains(" style=") && !markup.contains(" onclick=")
    })
}

#[test]
fn every_file_is_shown_in_every_pane() {
    let good = igvm_samples::all().iter().map(|sample| (sample.name.to_owned(), sample.build));
    let broken = igvm_samples::broken::all().map(|sample| (sample.name(), sample.build));
    for (name, build) in good.chain(broken) {
        let mut app = App::new();
        let opened = open(&mut app, &name, build());
        assert!(opened.open || opened.error.is_some(), "{name}");
        for focus in focuses(&name).iter().filter(|_| opened.open) {
            let update = go(&mut app, focus);
            assert!(update.open && is_plain(&update), "{}", focus.href());
        }
    }
}

#[test]
fn only_what_changed_is_sent() {
    let mut app = App::new();
    let first = open(&mut app, "hello-long64", sample("hello-long64"));
    let names: Vec<_> = first.regions.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["bar", "tabs", "map", "inspector", "pane"]);
    assert_eq!(first.fragment.as_deref(), Some("#v=1&sample=hello-long64&pane=overview"));
    let again = app.act(Event::Scroll { top: 0.0, height: 500.0 });
    assert_eq!(again.regions, []);
}

#[test]
fn a_link_to_a_sample_asks_for_it() {
    let mut app = App::new();
    let link = "#sample=overlap&pane=memory&guest=0x1000";
    let asked = app.act(Event::Go { fragment: link.into() });
    assert_eq!(asked.fetch.as_deref(), Some("overlap"));
    let opened = open(&mut app, "overlap", sample("overlap"));
    assert_eq!(opened.pane, "memory");
    assert!(opened.selected);
    assert!(markup(&opened, "rows").contains("Written more than once"));
}

#[test]
fn the_overview_says_what_it_boots() {
    let mut app = App::new();
    let update = open(&mut app, "hello-long64", sample("hello-long64"));
    let text = markup(&update, "pane");
    assert!(text.contains("64-bit mode"), "{text}");
    assert!(text.contains("4-level paging") && text.contains("for native"), "{text}");
    assert!(markup(&update, "bar").contains("sound"));
}

#[test]
fn a_platform_switches_everything() {
    let mut app = App::new();
    open(&mut app, "platforms", sample("platforms"));
    let focus = Focus::parse("#sample=platforms&pane=processors&platform=sev-snp").unwrap();
    let update = go(&mut app, &focus);
    assert!(markup(&update, "pane").contains("header 17"));
    let missing = Focus::parse("#sample=platforms&platform=cca").unwrap();
    let error = go(&mut app, &missing).error.unwrap();
    assert!(error.starts_with("This file cannot be loaded for the platform cca"), "{error}");
}

#[test]
fn what_was_open_stays_when_a_file_is_none() {
    let mut app = App::new();
    open(&mut app, "hello-long64", sample("hello-long64"));
    let bytes = b"\x7fELF".to_vec();
    let update = app.open(Subject::File("a.out".into()), 4, Box::new(bytes));
    assert!(update.open && update.error.unwrap().starts_with("a.out cannot be shown: not an IGVM"));
    assert_eq!(update.fragment.as_deref(), Some("#v=1&sample=hello-long64&pane=overview"));
}

fn act(app: &mut App, event: serde_json::Value) -> Update {
    app.act(serde_json::from_value(event).unwrap())
}

fn opened(name: &str, fragment: &str) -> App {
    let mut app = App::new();
    open(&mut app, name, sample(name));
    app.act(Event::Go { fragment: fragment.into() });
    app
}

#[test]
fn one_goes_where_one_types() {
    let mut app = opened("hello-long64", "#sample=hello-long64&pane=overview");
    for (value, end) in [
        ("0x1000", "&pane=hex&guest=0x1000"),
        ("file 118", "&pane=hex&file-offset=0x118"),
        ("0x40", "&pane=hex&file-offset=0x40"),
        ("header 3", "&pane=hex&header=3"),
        ("rip", "&pane=processors&register=0.rip"),
        ("#2", "&pane=headers&header=2"),
    ] {
        let update = act(&mut app, json!({ "action": "go-to", "value": value }));
        assert!(update.fragment.as_ref().unwrap().ends_with(end), "{value}: {update:?}");
        assert_eq!(update.error, None);
    }
    for (value, start) in [
        ("header 8", "There is no header 8: this file has 0 to 7."),
        ("file 0xffffff", "The file ends at 0x6118"),
        ("3.rip", "There is no processor 3"),
        ("ffff", "“ffff” can be several things"),
    ] {
        let update = act(&mut app, json!({ "action": "go-to", "value": value }));
        assert!(update.error.unwrap().starts_with(start) && update.fragment.is_none(), "{value}");
    }
    let nowhere = act(&mut App::new(), json!({ "action": "go-to", "value": "0x1000" }));
    assert!(nowhere.error.unwrap().starts_with("No file is open"));
}

#[test]
fn a_search_goes_to_the_next_place_and_lists_all() {
    let mut app = opened("hello-long64", "#sample=hello-long64&pane=hex&guest=0x10000");
    let find = json!({ "action": "find", "kind": "text", "text": "Hello" });
    let mut update = act(&mut app, find);
    while update.working.is_some() {
        update = app.work(|| true);
    }
    assert!(markup(&update, "hits").contains("1 place"), "{update:?}");
    let file = sample("hello-long64");
    let at = file.windows(5).position(|bytes| bytes == b"Hello").unwrap() as u64;
    // 0x10000 is the last page of the file's data but one.
    let gpa = at - 0x4118 + 0x1_0000;
    let update = app.act(Event::Cancel);
    assert!(update.selected);
    let again = act(&mut app, json!({ "action": "pick", "value": format!("{gpa:x}") }));
    assert_eq!(again.regions, [], "it is selected already");
    let bad = act(&mut app, json!({ "action": "find", "kind": "bytes", "text": "xy" }));
    assert!(bad.error.unwrap().contains("is not bytes"));
    let end = act(&mut app, json!({ "action": "find-end" }));
    assert_eq!(markup(&end, "hits"), "");
}

#[test]
fn a_long_list_is_scrolled_by_the_pixel() {
    let mut app = App::new();
    let mut bytes = sample("hello-long64");
    bytes.resize(64 << 20, 0x5a);
    open(&mut app, "large", bytes);
    app.act(Event::Go { fragment: "#sample=large&pane=hex".into() });
    for top in (0..4000).step_by(200) {
        let update = app.act(Event::Scroll { top: top.into(), height: 600.0 });
        assert_eq!(update.scroll, None);
        // Few rows, the first of them a few before what is seen.
        assert!(markup(&update, "rows").matches("<li").count() < 100);
    }
    let update = app.act(Event::Scroll { top: 8e6, height: 600.0 });
    assert!(markup(&update, "rows").contains("0x03ff<i></i>fff0"));
}

/// Keeps what it is given.
#[derive(Default)]
struct Whole(Vec<u8>);

impl Sink for Whole {
    fn bytes(&mut self, bytes: &[u8]) {
        self.0.extend(bytes);
    }
    fn file(&mut self, source: &dyn ByteSource, span: Span) {
        let start = self.0.len();
        self.0.resize(start + span.len as usize, 0);
        assert!(source.read(span.start, &mut self.0[start..]));
    }
    fn zeroes(&mut self, len: u64) {
        self.0.resize(self.0.len() + len as usize, 0);
    }
}

#[test]
fn what_is_taken_away_has_a_name_and_its_bytes() {
    let mut app = opened("hello-long64", "#sample=hello-long64&pane=export");
    let mut taken = |event| {
        let name = act(&mut app, event).download.unwrap();
        let mut sink = Whole::default();
        app.export(&mut sink).unwrap();
        assert!(app.export(&mut sink).is_err(), "once");
        (name, sink.0)
    };
    let (name, bytes) = taken(json!({ "action": "export", "value": "file" }));
    assert!(name == "hello-long64.igvm" && bytes == sample("hello-long64"));
    let memory = json!({ "action": "export-memory", "address": "0xfff", "length": "3" });
    assert_eq!(taken(memory), ("hello-long64-0xfff.bin".into(), vec![0, 3, 0x20]));
    let (name, json) = taken(json!({ "action": "export", "value": "json" }));
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    assert!(name == "hello-long64.json" && json["state"]["startable"] == true);
    let (name, report) = taken(json!({ "action": "export", "value": "report" }));
    let report = String::from_utf8(report).unwrap();
    assert_eq!(name, "hello-long64.html");
    for hostile in ["<script", "<a ", " src=", " style=", "onclick"] {
        assert!(!report.contains(hostile), "{hostile}");
    }
    let refused = json!({ "action": "export-memory", "address": "0", "length": "8G" });
    assert!(act(&mut app, refused).error.unwrap().starts_with("At most 4 GiB"));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]
    #[test]
    fn a_damaged_file_stops_nothing(
        changes in prop::collection::vec((0..0x400_usize, any::<u8>()), 1..24),
        cut in 0..0x6000_usize,
    ) {
        let mut bytes = sample("parameters");
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(4 + at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut app = App::new();
        if open(&mut app, "damaged", bytes).open {
            for focus in focuses("damaged") {
                prop_assert!(is_plain(&go(&mut app, &focus)));
            }
            for value in ["json", "report"] {
                act(&mut app, json!({ "action": "export", "value": value }));
                prop_assert!(app.export(&mut Whole::default()).is_ok());
            }
            act(&mut app, json!({ "action": "export-memory", "address": "0", "length": "1M" }));
            let _ = app.export(&mut Whole::default());
            act(&mut app, json!({ "action": "find", "kind": "bytes", "text": "00" }));
        }
    }
}
