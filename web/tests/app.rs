//! The page's engine as the worker drives it: events in, markup out.
#![cfg(not(target_arch = "wasm32"))]

use igvm_core::span::Span;
use igvm_core::x86::Register;
use igvm_web::app::{App, Event, Fields, Update};
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
    let again = app.act(Event::Scroll { top: 0, height: 500 });
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

/// A file without a machine is not told as something that it is not: neither
/// the file nor the rule book is to blame for a link to what cannot be.
#[test]
fn a_machine_that_cannot_be_says_why_in_every_pane() {
    for (link, why) in [
        ("&platform=cca", "cannot be loaded for the platform cca"),
        ("&cpus=0", "There is no such host"),
        ("&memory=0x1", "There is no such host"),
    ] {
        for pane in ["overview", "memory", "processors", "paging", "code", "export"] {
            let mut app = App::new();
            app.act(Event::Go { fragment: format!("#sample=a&pane={pane}&guest=0x1000{link}") });
            let update = open(&mut app, "a", sample("platforms"));
            for region in ["pane", "inspector"] {
                let text = markup(&update, region);
                assert!(text.contains(why), "{link} {pane} {region}: {text}");
                assert!(
                    !text.contains("names no platform") && !text.contains("starts no processor")
                );
            }
        }
    }
    let broken = igvm_samples::broken::all().find(|broken| broken.rule == "fixed.checksum");
    let mut app = App::new();
    app.act(Event::Go { fragment: "#sample=a&cpus=0".into() });
    let update = open(&mut app, "a", (broken.unwrap().build)());
    assert!(!markup(&update, "bar").contains("sound"), "{}", markup(&update, "bar"));
}

/// What x86 registers an ARM processor has is an invention.
#[test]
fn a_file_for_other_processors_shows_none() {
    use igvm_core::defs::{IgvmArchitecture, IgvmPlatformType};
    use igvm_core::write::{FileBuilder, HeaderSpec, Version};
    let version = Version::V2 { architecture: IgvmArchitecture::AARCH64, page_size: 0x1000 };
    let mut file = FileBuilder::new(version);
    file.push(HeaderSpec::platform(IgvmPlatformType::VSM_ISOLATION, 1)).unwrap();
    file.push(HeaderSpec::zero_page(0x4000_0000, 1)).unwrap();
    let bytes = file.finish();
    for pane in ["processors", "paging", "code"] {
        for selection in ["guest=0x40000000", "register=0.rip", "linear=0x1000"] {
            let mut app = App::new();
            app.act(Event::Go { fragment: format!("#sample=a&pane={pane}&{selection}") });
            let update = open(&mut app, "a", bytes.clone());
            let (text, beside) = (markup(&update, "pane"), markup(&update, "inspector"));
            assert!(text.contains("not a file for x86"), "{pane} {selection}: {text}");
            assert!(!beside.contains("after reset"), "{beside}");
            assert!(selection.starts_with("linear") || !beside.contains("sees it"), "{beside}");
        }
    }
}

/// A file on a disk, until somebody builds it anew.
struct OnDisk(Vec<u8>, std::rc::Rc<std::cell::Cell<bool>>);

impl ByteSource for OnDisk {
    fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        !self.1.get() && self.0.read(offset, buf)
    }
}

#[test]
fn a_file_that_changed_on_disk_is_doubted_aloud() {
    let (bytes, gone) = (sample("page-2m"), std::rc::Rc::new(std::cell::Cell::new(false)));
    let mut app = App::new();
    let source = OnDisk(bytes.clone(), gone.clone());
    app.open(Subject::File("a.igvm".into()), bytes.len() as u64, Box::new(source));
    let far = "#file=a.igvm&pane=hex&guest=0x300000";
    gone.set(true);
    let says =
        |update: Update| update.error.unwrap_or_default().contains("cannot be read any more");
    assert!(says(app.act(Event::Go { fragment: far.into() })));
    for value in ["file", "report", "json"] {
        let update = app.act(Event::Export { value: value.into() });
        assert_eq!(update.download, None);
        assert!(says(update), "{value}");
    }
    gone.set(false);
    assert!(!says(app.act(Event::Go { fragment: far.into() })));
    assert!(app.act(Event::Export { value: "file".into() }).download.is_some());
}

#[test]
fn a_truncated_file_says_how_much_is_there() {
    let mut bytes = sample("hello-long64");
    bytes.truncate(bytes.len() - 0x800);
    let update = open(&mut App::new(), "a", bytes);
    let text = markup(&update, "pane");
    assert!(text.contains("truncated: 22.2 KiB of 24.2 KiB are there"), "{text}");
    assert!(text.contains("The data of the processor contexts is not there either"), "{text}");
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

/// Acts as the page does: with an action and fields of text.
fn act(app: &mut App, event: serde_json::Value) -> Update {
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let mut fields: Fields = event
        .as_object()
        .unwrap()
        .iter()
        .map(|(name, value)| (name.clone(), text(value)))
        .collect();
    let action = fields.take("action").unwrap();
    app.act(Event::read(&action, fields).unwrap())
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
        let update = app.act(Event::Scroll { top, height: 600 });
        assert_eq!(update.scroll, None);
        // Few rows, the first of them a few before what is seen.
        assert!(markup(&update, "rows").matches("<li").count() < 100);
    }
    let update = app.act(Event::Scroll { top: 8_000_000, height: 600 });
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

    #[test]
    fn a_damaged_file_is_compared_and_given_any_host(
        name in prop::sample::select(vec!["parameters", "relocatable", "platforms", "overlap"]),
        changes in prop::collection::vec((0..0x400_usize, any::<u8>()), 1..24),
        cut in 0..0x6000_usize,
        moved in (any::<u64>(), prop::sample::select(vec![0x20_0000_u64, 0x10_0000, 0])),
    ) {
        let mut bytes = sample(name);
        for (at, byte) in changes {
            if let Some(place) = bytes.get_mut(4 + at) {
                *place = byte;
            }
        }
        bytes.truncate(bytes.len().saturating_sub(cut));
        let mut app = App::new();
        open(&mut app, name, sample(name));
        if open(&mut app, "damaged", bytes).title.starts_with("damaged") {
            let host = format!("&cpus=3&memory=0x200000000&relocate={:#x}-{:#x}", moved.1, moved.0 & !0xfff);
            for link in [
                format!("#sample=damaged&pane=compare&with-sample={name}"),
                format!("#sample={name}&pane=compare&with-sample=damaged&guest=0x1000{host}"),
                "#sample=damaged&pane=compare&with-sample=damaged&with-platform=sev-snp".to_owned(),
                format!("#sample=damaged&pane=host{host}"),
                format!("#sample=damaged&pane=memory{host}"),
                format!("#sample=damaged&pane=processors{host}"),
            ] {
                let update = go(&mut app, &Focus::parse(&link).unwrap());
                let update = settled(&mut app, update);
                prop_assert!(update.open && is_plain(&update), "{link}");
            }
        }
    }
}

fn drop_file(app: &mut App, name: &str, bytes: Vec<u8>) -> Update {
    let update = app.open(Subject::File(name.into()), bytes.len() as u64, Box::new(bytes));
    settled(app, update)
}

/// What the page shows when the work is done.
fn settled(app: &mut App, update: Update) -> Update {
    let mut last = update;
    while last.working.is_some() {
        let next = app.work(|| true);
        let fragment = next.fragment.clone().or(last.fragment);
        let regions = match next.regions.is_empty() {
            true => last.regions,
            false => next.regions.clone(),
        };
        last = Update { fragment, regions, ..next };
    }
    last
}

fn host(app: &mut App, fields: &[(&str, &str)]) -> Update {
    let fields = fields.iter().map(|(name, text)| ((*name).to_owned(), (*text).to_owned()));
    let update = app.act(Event::Host { fields: fields.collect() });
    settled(app, update)
}

#[test]
fn a_host_goes_into_the_address_bar_and_marks_what_it_changes() {
    let mut app = App::new();
    open(&mut app, "parameters", sample("parameters"));
    go(&mut app, &Focus::parse("#sample=parameters&pane=host").unwrap());
    let update = host(&mut app, &[("cpus", "4"), ("memory", "8G"), ("append", "a b")]);
    let fragment = update.fragment.clone().unwrap();
    assert!(fragment.contains("&cpus=4&memory=0x200000000&append=a%20b"), "{fragment}");
    let pane = markup(&update, "pane");
    assert!(pane.contains("There are 4 processors instead of 1."), "{pane}");
    assert!(pane.contains("8 GiB of memory instead of 256 MiB"));
    assert!(markup(&update, "map").contains("k-changed"));
    let memory = go(&mut app, &Focus::parse(&fragment).unwrap().in_pane(Pane::Memory));
    let marked = |line: &&str| line.contains("by-host");
    let rows: Vec<&str> = markup(&memory, "rows").split("<li").filter(marked).collect();
    // The parameters that say how large the machine is, and nothing else.
    assert!(rows.iter().all(|row| row.contains("chip k-parameter")), "{rows:?}");
    assert!(rows.len() >= 6 && rows.iter().any(|row| row.contains("VP_COUNT")), "{rows:?}");
    // The usual host changes nothing.
    let usual = go(&mut app, &Focus::parse("#sample=parameters&pane=memory").unwrap());
    assert!(!markup(&usual, "rows").contains("by-host"));
}

#[test]
fn a_host_that_cannot_be_is_said_beside_its_field() {
    let mut app = App::new();
    open(&mut app, "parameters", sample("parameters"));
    go(&mut app, &Focus::parse("#sample=parameters&pane=host").unwrap());
    let update = host(&mut app, &[("cpus", "5000"), ("memory", "\"<b>")]);
    let pane = markup(&update, "pane");
    assert!(update.fragment.is_none() && update.error.is_none());
    assert!(pane.contains("5000 processors: give 1 to 4096."), "{pane}");
    assert!(pane.contains("value=\"&quot;&lt;b&gt;\""), "{pane}");
    assert!(pane.contains("What the guest is told"));
    // By a link, the same is said, and the form still stands.
    let link = Focus::parse("#sample=parameters&pane=host&cpus=0").unwrap();
    let update = go(&mut app, &link);
    assert!(update.error.is_some() && markup(&update, "pane").contains("0 processors: give 1"));
}

#[test]
fn a_region_that_is_not_there_is_not_moved_in_silence() {
    let mut app = opened("relocatable", "#sample=relocatable");
    let moved = |from: u64| format!("#sample=relocatable&pane=host&relocate={from:#x}-0x40000000");
    for (from, is_there) in [(0x20_0000, true), (0x10_0000, true), (0x30_0000, false)] {
        let update = go(&mut app, &Focus::parse(&moved(from)).unwrap());
        let words = format!("moves the region at {from:#x} to 0x40000000, but");
        assert_eq!(markup(&update, "pane").contains(&words), !is_there, "{from:#x}");
        assert_eq!(update.error.is_some_and(|error| error.contains(&words)), !is_there);
        // Once is enough above the pane; in the pane it stays.
        let again = app.act(Event::Go { fragment: format!("{}&guest=0x1000", moved(from)) });
        assert_eq!(again.error, None);
    }
}

#[test]
fn the_other_side_is_dropped_into_the_compare_pane() {
    let mut app = App::new();
    drop_file(&mut app, "today", sample("hello-long64"));
    go(&mut app, &Focus::parse("#file=today&pane=compare").unwrap());
    let mut bytes = sample("hello-long64");
    bytes[0x4200] ^= 1;
    let update = drop_file(&mut app, "yesterday", bytes);
    let fragment = update.fragment.clone().unwrap();
    assert!(fragment.contains("file=today") && fragment.contains("with-file=yesterday"));
    let pane = markup(&update, "pane");
    assert!(pane.contains("They differ"), "{pane}");
    assert!(pane.contains("1 header changed"), "{pane}");
    // The same file once more: another name, no difference.
    let update = drop_file(&mut app, "today", sample("hello-long64"));
    let pane = markup(&update, "pane");
    assert!(pane.contains("The files are the same, byte for byte"), "{pane}");
    assert!(update.fragment.unwrap().contains("with-file=today%20%282%29"));
    // Without the other side, it waits for it.
    let link = Focus::parse("#file=today&pane=compare&with-file=gone").unwrap();
    let update = go(&mut app, &link);
    assert!(update.error.unwrap().contains("gone"));
}

#[test]
fn a_long_comparison_shows_its_progress_and_can_be_cancelled() {
    let mut app = App::new();
    let long = |last: u8| [sample("hello-long64"), vec![0; 24 << 20], vec![last]].concat();
    drop_file(&mut app, "today", long(1));
    go(&mut app, &Focus::parse("#file=today&pane=compare").unwrap());
    let bytes = long(2);
    let name = Subject::File("yesterday".into());
    let update = app.open(name, bytes.len() as u64, Box::new(bytes));
    let working = update.working.as_ref().unwrap();
    assert!(working.what == "Comparing" && working.part > 0 && working.part < 1000);
    assert!(markup(&update, "pane").contains("Comparing."));
    let update = app.act(Event::Cancel);
    assert!(update.working.is_none());
    assert!(markup(&update, "pane").contains("The comparison was cancelled"));
    // Asked again, it is done to its end.
    let update = go(&mut app, &Focus::parse("#file=today").unwrap());
    assert!(update.working.is_none());
    let link = "#file=yesterday&pane=compare&with-file=today";
    let update = go(&mut app, &Focus::parse(link).unwrap());
    let update = settled(&mut app, update);
    let pane = markup(&update, "pane");
    assert!(
        pane.contains("identical machine") && pane.contains("no header says anything else"),
        "{pane}"
    );
}

#[test]
fn every_pair_of_samples_and_platforms_is_compared() {
    let samples = igvm_samples::all().iter().filter(|sample| sample.committed);
    let names: Vec<&str> = samples.map(|sample| sample.name).collect();
    let mut app = App::new();
    for pair in names.windows(2) {
        for name in pair {
            open(&mut app, name, sample(name));
        }
        let link = format!("#sample={}&pane=compare&with-sample={}", pair[0], pair[1]);
        let update = go(&mut app, &Focus::parse(&link).unwrap());
        let update = settled(&mut app, update);
        assert!(is_plain(&update) && markup(&update, "pane").contains("They differ"), "{link}");
    }
    for platform in ["sev-snp", "vsm", "cca", "0x77"] {
        open(&mut app, "platforms", sample("platforms"));
        let with = format!("&with-sample=platforms&with-platform={platform}");
        let update =
            go(&mut app, &Focus::parse(&format!("#sample=platforms&pane=compare{with}")).unwrap());
        let update = settled(&mut app, update);
        let pane = markup(&update, "pane");
        let there = ["sev-snp", "vsm"].contains(&platform);
        assert_eq!(pane.contains("The other side makes no machine"), !there, "{pane}");
    }
}

#[test]
fn files_are_closed_and_the_rest_stays() {
    let mut app = App::new();
    for name in ["a", "b", "b"] {
        drop_file(&mut app, name, sample("hello-long64"));
    }
    let close = |app: &mut App, value: &str| app.act(Event::Close { value: value.into() });
    let update = close(&mut app, "2");
    assert_eq!(update.fragment.as_deref(), Some("#v=1&file=b&pane=overview"));
    assert!(!markup(&update, "bar").contains("b (2)"));
    for nonsense in ["7", "-1", "", "b"] {
        assert!(close(&mut app, nonsense).open);
    }
    assert!(close(&mut app, "0").open);
    let update = close(&mut app, "0");
    assert!(!update.open);
    assert_eq!(update.fragment.as_deref(), Some("#"));
    // More than are kept: the oldest makes room.
    for number in 0..12 {
        drop_file(&mut app, &format!("file {number}"), sample("hello-long64"));
    }
    let update = go(&mut app, &Focus::parse("#file=file%2011&pane=host").unwrap());
    let update = if markup(&update, "bar").is_empty() {
        app.act(Event::Go { fragment: "#file=file%2010".into() })
    } else {
        update
    };
    assert_eq!(markup(&update, "bar").matches("close-file").count(), 8);
}

#[test]
fn a_typed_address_becomes_the_selection() {
    let mut app = App::new();
    open(&mut app, "hello-long64", sample("hello-long64"));
    go(&mut app, &Focus::parse("#sample=hello-long64&pane=paging").unwrap());
    let typed =
        |app: &mut App, address: &str| app.act(Event::Translate { address: address.into() });
    let update = typed(&mut app, " 0x20_1000 ");
    let fragment = update.fragment.as_deref().unwrap();
    assert_eq!(fragment, "#v=1&sample=hello-long64&pane=paging&linear=0x201000");
    assert!(markup(&update, "pane").contains("leads nowhere: the PDE is not present"));
    let update = typed(&mut app, "nowhere");
    assert!(
        update.fragment.is_none() && update.error.unwrap().starts_with("nowhere is no address")
    );
    let update = typed(&mut app, "rip");
    assert!(update.fragment.unwrap().ends_with("linear=0x10000"));
}

#[test]
fn a_chosen_processor_is_looked_through_in_every_pane() {
    let mut app = App::new();
    open(&mut app, "hello-long64", sample("hello-long64"));
    let shown = |app: &mut App, link: &str| {
        let update = go(app, &Focus::parse(link).unwrap());
        markup(&update, "pane").to_owned()
    };
    let paging = shown(&mut app, "#sample=hello-long64&cpus=2&vp=1&pane=paging");
    assert!(paging.contains("processor 1") && paging.contains("No paging"), "{paging}");
    let code = shown(&mut app, "#sample=hello-long64&cpus=2&vp=1&pane=code");
    assert!(
        code.contains("16-bit") && code.contains("no header writes that memory")
            || code.contains("no memory there"),
        "{code}"
    );
    let none = shown(&mut app, "#sample=hello-long64&vp=9&pane=code");
    assert!(none.contains("This host starts no processor 9"), "{none}");
}

/// A page whose tables all name themselves, and a million instructions asked
/// for one after the other.
#[test]
fn hostile_tables_take_no_time() {
    use igvm_core::defs::IgvmPlatformType;
    use igvm_core::write::{FileBuilder, HeaderSpec, Version, start};
    let mut file = FileBuilder::new(Version::V2_X64);
    file.push(HeaderSpec::platform(IgvmPlatformType::NATIVE, 1)).unwrap();
    let table: Vec<u8> = (0..512).flat_map(|_| 0x1003_u64.to_le_bytes()).collect();
    file.push(HeaderSpec::page(0x1000, 1, &table)).unwrap();
    let context = start::long64(0x1000, 0x2000, 0, 0x1000);
    file.push(HeaderSpec::native_context(1, &context)).unwrap();
    let mut app = App::new();
    open(&mut app, "loops", file.finish());
    let begun = std::time::Instant::now();
    for pane in ["paging", "code", "overview"] {
        for selection in ["", "&linear=0x7fffffffffff", "&guest=0x5000", "&header=1"] {
            let link = format!("#sample=loops&pane={pane}{selection}");
            let update = go(&mut app, &Focus::parse(&link).unwrap());
            let size: usize = update.regions.iter().map(|(_, markup)| markup.len()).sum();
            assert!(size < 1 << 20, "{link}: {size}");
        }
    }
    assert!(begun.elapsed().as_secs() < 10, "{:?}", begun.elapsed());
}
