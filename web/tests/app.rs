//! The page's engine as the worker drives it: events in, markup out.

use igvm_core::x86::Register;
use igvm_web::app::{App, Event, Update};
use igvm_web::model::focus::{Focus, Pane, Selection, Subject};
use proptest::prelude::*;

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
        }
    }
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
