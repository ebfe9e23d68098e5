//! The markup of every pane for three samples, tag for tag, in `tests/markup`:
//! what a change does to the screen is seen in git. `BLESS=1 cargo test -p
//! igvm-web --test markup` writes it anew.
//!
//! Each tag that opens begins a line, but for those of digits and bytes; `#…`
//! is what every link of the sample begins with; long regions are cut short.
//! Else it is the markup as the page gets it.
#![cfg(not(target_arch = "wasm32"))]

use std::collections::BTreeSet;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use igvm_web::app::{App, Event, Update};
use igvm_web::model::focus::{Focus, Subject};

/// Samples, and what is selected in each pane of them.
const SAMPLES: [(&str, [(&str, &str); 10]); 3] = [
    (
        "hello-long64",
        [
            ("overview", ""),
            ("headers", "&header=7"),
            ("memory", "&guest=0x2000"),
            ("processors", "&register=0.cr0"),
            ("paging", "&linear=0x10000"),
            ("code", "&linear=0x10007"),
            ("hex", "&file-offset=0x118"),
            ("host", ""),
            ("compare", "&with-sample=hello-long64-4k"),
            ("export", ""),
        ],
    ),
    (
        "parameters",
        [
            ("overview", "&cpus=3&append=quiet"),
            ("headers", ""),
            ("memory", "&cpus=4&guest=0x20000"),
            ("processors", "&cpus=4&vp=3&register=3.cs"),
            ("paging", ""),
            ("code", "&at=0x10000&bits=32"),
            ("hex", "&guest=0x20000"),
            ("host", "&cpus=4&memory=0x200000000&append=quiet"),
            ("compare", ""),
            ("export", "&cpus=4"),
        ],
    ),
    (
        "entry-not-executable",
        [
            ("overview", ""),
            ("headers", "&header=2"),
            ("memory", ""),
            ("processors", "&register=0.efer"),
            ("paging", ""),
            ("code", ""),
            ("hex", "&file-offset=0x0"),
            ("host", ""),
            ("compare", "&with-sample=hello-long64"),
            ("export", ""),
        ],
    ),
];

/// Pixels of the lists: some rows of each.
const HEIGHT: u64 = 112;

/// Bytes that are kept of a region: tables and pictures repeat themselves.
const LONG: usize = 10 << 10;

fn bytes(name: &str) -> Vec<u8> {
    let good = igvm_samples::by_name(name).map(|sample| sample.build);
    let broken = || igvm_samples::broken::all().find(|sample| sample.name() == name);
    good.unwrap_or_else(|| broken().unwrap().build)()
}

/// What is on the screen, by region.
#[derive(Default)]
struct Screen(Vec<(&'static str, String)>);

impl Screen {
    fn take(&mut self, update: Update) -> Option<String> {
        for (name, markup) in update.regions {
            self.0.retain(|(old, _)| *old != name);
            self.0.push((name, markup));
        }
        assert_eq!(update.error, None);
        update.fetch
    }

    /// The screen of a link, opened from nothing, when all work is done.
    fn of(link: &str) -> Self {
        let (mut app, mut screen) = (App::new(), Self::default());
        let mut asked = screen.take(app.act(Event::Go { fragment: link.into() }));
        while let Some(name) = asked {
            let bytes = bytes(&name);
            let update = app.open(Subject::Sample(name), bytes.len() as u64, Box::new(bytes));
            asked = screen.take(update);
        }
        screen.take(app.act(Event::Scroll { top: 0, height: HEIGHT }));
        screen.take(app.act(Event::Go { fragment: link.into() }));
        screen.take(app.work(|| true));
        screen
    }

    fn text(&self, sample: &str, link: &str, with: impl Fn(&str) -> bool) -> String {
        let (mut text, start) = (format!("{link}\n"), format!("\"#v=1&amp;sample={sample}&amp;"));
        for (name, markup) in self.0.iter().filter(|(name, _)| with(name)) {
            let markup = lines(&markup.replace(&start, "\"#…&amp;"));
            let (kept, rest) = markup.split_at(markup.floor_char_boundary(LONG));
            // Whole lines.
            let (line, rest) = rest.split_once('\n').unwrap_or((rest, ""));
            let more = if rest.is_empty() { "" } else { "\n… and so on" };
            write!(text, "\n[{name}]\n{kept}{line}{more}\n").unwrap();
        }
        text
    }
}

/// One tag that opens on each line.
fn lines(markup: &str) -> String {
    let mut text = String::with_capacity(markup.len() * 2);
    for (at, piece) in markup.split('<').enumerate() {
        if at > 0 {
            let goes_on = ["/", "i>", "i "].iter().any(|start| piece.starts_with(start));
            if !goes_on && !text.is_empty() {
                let end = text.trim_end_matches(' ').len();
                text.insert(end, '\n');
            }
            text.push('<');
        }
        text.push_str(piece);
    }
    text
}

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/markup")
}

/// The first line that is not the same, on both sides.
fn difference(golden: &str, text: &str) -> String {
    let same = golden.lines().zip(text.lines()).take_while(|(old, new)| old == new).count();
    let line = |text: &str| text.lines().nth(same).unwrap_or("(ends)").to_owned();
    format!("line {}\n  - {}\n  + {}", same + 1, line(golden), line(text))
}

#[test]
fn the_markup_of_every_pane() {
    let bless = std::env::var_os("BLESS").is_some_and(|value| value == "1");
    let (mut kept, mut complaints) = (BTreeSet::new(), String::new());
    let mut keep = |file: String, text: &str| {
        let path = folder().join(&file);
        if bless {
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(&path, text).unwrap();
        }
        match std::fs::read_to_string(&path) {
            Ok(golden) if golden == text => {}
            Ok(golden) => writeln!(complaints, "{file}: {}", difference(&golden, text)).unwrap(),
            Err(error) => writeln!(complaints, "{file}: {error}").unwrap(),
        }
        kept.insert(path);
    };
    for (name, panes) in SAMPLES {
        for (pane, more) in panes {
            let link = format!("#v=1&sample={name}&pane={pane}{more}");
            // The golden is of the pane that its name says.
            assert_eq!(Focus::parse(&link).unwrap().pane.name(), pane);
            let screen = Screen::of(&link);
            let is_around = |region: &str| ["bar", "tabs", "map"].contains(&region);
            // The same around every pane but for its links.
            if pane == "overview" {
                keep(format!("{name}/around.html"), &screen.text(name, &link, is_around));
            }
            let text = screen.text(name, &link, |region| !is_around(region));
            keep(format!("{name}/{pane}.html"), &text);
        }
    }
    for (name, _) in SAMPLES {
        for entry in std::fs::read_dir(folder().join(name)).into_iter().flatten() {
            let path = entry.unwrap().path();
            if !kept.contains(&path) {
                writeln!(complaints, "{}: there is no such pane; delete it", path.display())
                    .unwrap();
            }
        }
    }
    assert!(
        complaints.is_empty(),
        "\n{complaints}\nIf this is what it should be: BLESS=1 cargo test -p igvm-web --test markup\n"
    );
}
