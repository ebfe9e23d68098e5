//! The folder: hand-written files, the engine with its JavaScript side, the
//! samples, and the gallery in the page.

use std::fs;
use std::path::Path;

use crc32fast::Hasher as Crc;
use igvm_analysis::host::HostDescription;
use igvm_web::model::document::Document;
use igvm_web::model::focus::Subject;
use igvm_web::model::machine::{Loaded, first_platform};
use igvm_web::model::picture::Picture;
use igvm_web::view::{Card, gallery, places};
use wasm_bindgen_cli_support::Bindgen;

/// Where the gallery goes in `index.html`.
const GALLERY: &str = "<!-- gallery -->";

/// Where the places of the go-to dialog go.
const PLACES: &str = "<!-- places -->";

/// What keeps the page for when there is no network.
const SERVICE_WORKER: &str = "offline.js";

/// What people may look at without a file of their own.
struct Sample {
    name: String,
    title: String,
    bytes: Vec<u8>,
}

/// Writes the folder anew.
pub(crate) fn run(wasm: &Path, www: &Path, out: &Path) -> Result<(), String> {
    let write = |name: &str, bytes: &[u8]| {
        let path = out.join(name);
        fs::write(&path, bytes)
            .map_err(|error| format!("{} cannot be written: {error}", path.display()))
    };
    if out.exists() {
        fs::remove_dir_all(out)
            .map_err(|error| format!("{} cannot be emptied: {error}", out.display()))?;
    }
    fs::create_dir_all(out.join("samples"))
        .map_err(|error| format!("{} cannot be created: {error}", out.display()))?;

    // A worker without modules: they still start slower, and not everywhere.
    Bindgen::new()
        .input_path(wasm)
        .no_modules(true)
        .map_err(|error| error.to_string())?
        .typescript(false)
        .remove_name_section(true)
        .remove_producers_section(true)
        .generate(out)
        .map_err(|error| format!("wasm-bindgen cannot read {}: {error}", wasm.display()))?;

    let (good, broken) = (good(), broken());
    for sample in good.iter().chain(&broken) {
        write(&format!("samples/{}.igvm", sample.name), &sample.bytes)?;
    }
    for (name, bytes) in files_in(www)? {
        if name == "index.html" {
            let page = String::from_utf8_lossy(&bytes);
            let cards = |samples: &[Sample]| samples.iter().map(card).collect::<Vec<_>>();
            let gallery = gallery(&cards(&good), &cards(&broken)).into_string();
            let page = page.replace(GALLERY, &gallery).replace(PLACES, &places().into_string());
            write(&name, page.as_bytes())?;
        } else if name != SERVICE_WORKER {
            write(&name, &bytes)?;
        }
    }
    // One file for the browser, one for each part of the page for us.
    let styles: Vec<Vec<u8>> =
        files_in(&www.join("style"))?.into_iter().map(|(_, bytes)| bytes).collect();
    write("style.css", &styles.concat())?;
    let worker = fs::read_to_string(www.join(SERVICE_WORKER))
        .map_err(|error| format!("{SERVICE_WORKER} cannot be read: {error}"))?;
    write(SERVICE_WORKER, offline(&worker, out)?.as_bytes())
}

/// The files of a folder by name; folders in it are passed over.
fn files_in(folder: &Path) -> Result<Vec<(String, Vec<u8>)>, String> {
    let cannot = |what: &Path, error| format!("{} cannot be read: {error}", what.display());
    let entries = fs::read_dir(folder).map_err(|error| cannot(folder, error))?;
    let mut files = Vec::new();
    for path in entries.flatten().map(|entry| entry.path()).filter(|path| path.is_file()) {
        let bytes = fs::read(&path).map_err(|error| cannot(&path, error))?;
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        files.push((name, bytes));
    }
    files.sort();
    Ok(files)
}

/// The service worker with the files that it keeps, and a version that changes
/// whenever one of them does.
fn offline(worker: &str, out: &Path) -> Result<String, String> {
    let files = files_in(out)?;
    let samples = files_in(&out.join("samples"))?;
    let mut sum = Crc::new();
    for (name, bytes) in files.iter().chain(&samples) {
        sum.update(name.as_bytes());
        sum.update(bytes);
    }
    sum.update(worker.as_bytes());
    let names: Vec<&str> = files.iter().map(|(name, _)| name.as_str()).collect();
    let names = serde_json::to_string(&names).map_err(|error| error.to_string())?;
    Ok(format!("const VERSION = '{:08x}';\nconst FILES = {names};\n{worker}", sum.finalize()))
}

/// All samples but the very large ones.
fn good() -> Vec<Sample> {
    let committed = igvm_samples::all().iter().filter(|sample| sample.committed);
    committed
        .map(|sample| Sample {
            name: sample.name.to_owned(),
            title: sample.title.to_owned(),
            bytes: (sample.build)(),
        })
        .collect()
}

/// One sample for each rule, with what the rule says.
fn broken() -> Vec<Sample> {
    let book = igvm_analysis::report::RulesReport::new();
    igvm_samples::broken::all()
        .map(|sample| {
            let rule = book.rules.iter().find(|rule| rule.rule == sample.rule);
            Sample {
                name: sample.name(),
                title: rule.map_or_else(String::new, |rule| rule.summary.to_owned()),
                bytes: (sample.build)(),
            }
        })
        .collect()
}

fn card(sample: &Sample) -> Card {
    let subject = Subject::Sample(sample.name.clone());
    let len = sample.bytes.len() as u64;
    let document = Document::open(subject, len, Box::new(sample.bytes.clone())).ok();
    let picture = document.and_then(|document| {
        let loaded =
            Loaded::new(&document, first_platform(&document)?, &HostDescription::default());
        Some(Picture::new(&loaded.ok()?))
    });
    Card { name: sample.name.clone(), title: sample.title.clone(), picture }
}
