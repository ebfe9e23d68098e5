//! The border between engine and browser, in a browser's worker:
//! `wasm-pack test --headless --chrome web`.
#![cfg(target_arch = "wasm32")]

use igvm_web::border::Engine;
use js_sys::{Array, Uint8Array};
use serde_json::Value;
use wasm_bindgen_test::{wasm_bindgen_test, wasm_bindgen_test_configure};
use web_sys::{Blob, File};

wasm_bindgen_test_configure!(run_in_dedicated_worker);

fn sample(name: &str) -> Vec<u8> {
    (igvm_samples::by_name(name).unwrap().build)()
}

/// A file that the browser holds.
fn file(name: &str, bytes: &[u8]) -> Blob {
    let parts = Array::of1(&Uint8Array::from(bytes));
    File::new_with_u8_array_sequence(&parts, name).unwrap().into()
}

fn open(engine: &mut Engine, name: &str, blob: Blob) -> Value {
    serde_json::from_str(&engine.open(blob, name.into(), false)).unwrap()
}

fn act(engine: &mut Engine, action: &str, fields: &[(&str, &str)]) -> Value {
    let (names, values) =
        fields.iter().map(|(name, value)| ((*name).into(), (*value).into())).unzip();
    serde_json::from_str(&engine.act(action, names, values)).unwrap()
}

fn region(update: &Value, name: &str) -> String {
    let regions = update["regions"].as_array().unwrap();
    let found = regions.iter().find(|region| region[0] == name);
    found.map_or_else(String::new, |region| region[1].as_str().unwrap().to_owned())
}

#[wasm_bindgen_test]
fn a_file_is_read_where_it_is() {
    let mut engine = Engine::new();
    let update = open(&mut engine, "mine.igvm", file("mine.igvm", &sample("hello-long64")));
    assert_eq!(update["open"], true);
    assert_eq!(update["fragment"], "#v=1&file=mine.igvm&pane=overview");
    assert!(region(&update, "pane").contains("64-bit mode"));
    // Data of the file, behind its headers.
    let fragment = "#v=1&file=mine.igvm&pane=memory&guest=0x1000";
    let update = act(&mut engine, "go", &[("fragment", fragment)]);
    let first = format!("{:02x}", sample("hello-long64")[0x118]);
    assert!(region(&update, "inspector").contains(&first));
}

#[wasm_bindgen_test]
fn a_large_file_is_not_loaded() {
    // 1 GiB of data behind the headers: more than this module's memory grows by.
    let chunk = Uint8Array::new_with_length(64 << 20);
    let head = Uint8Array::from(sample("hello-long64").as_slice());
    let parts = Array::of1(&head);
    for _ in 0..16 {
        parts.push(&chunk);
    }
    let blob = Blob::new_with_u8_array_sequence(&parts).unwrap();
    let before = memory();
    let mut engine = Engine::new();
    let update = open(&mut engine, "large.igvm", blob);
    assert_eq!(update["open"], true);
    let fragment = format!("#v=1&file=large.igvm&pane=overview&file-offset={:#x}", 1_u64 << 30);
    let update = act(&mut engine, "go", &[("fragment", &fragment)]);
    assert!(region(&update, "inspector").contains("File "));
    assert!(memory() - before < 8 << 20, "{} bytes more", memory() - before);
}

/// Bytes of this module's memory.
fn memory() -> usize {
    core::arch::wasm32::memory_size::<0>() << 16
}

#[wasm_bindgen_test]
fn hostile_files_are_refused_or_shown() {
    let mut engine = Engine::new();
    let nothing = open(&mut engine, "empty", file("empty", &[]));
    assert_eq!(nothing["error"], "empty cannot be shown: the file is empty.");
    for sample in igvm_samples::broken::all() {
        let name = sample.name();
        let update = open(&mut engine, &name, file(&name, &(sample.build)()));
        assert!(update["open"] == true || update["error"].is_string(), "{name}");
    }
    let whole = sample("parameters");
    for len in (0..whole.len()).step_by(97) {
        let update = open(&mut engine, "cut", file("cut", &whole[..len]));
        assert!(update["open"] == true || update["error"].is_string(), "{len}");
    }
}

#[wasm_bindgen_test]
fn an_event_that_is_none_is_answered_in_a_sentence() {
    let mut engine = Engine::new();
    for action in ["", "explode", "Go", "go\"}"] {
        let answer = act(&mut engine, action, &[("value", "\u{0}"), ("", "")]);
        assert_eq!(answer["error"], "the page sent an event that is not known", "{action}");
    }
    let fields = [("top", "-1e308"), ("height", "18446744073709551616"), ("top", "x")];
    let update = act(&mut engine, "scroll", &fields);
    assert_eq!(update["open"], false);
}

#[wasm_bindgen_test]
fn long_work_goes_in_slices() {
    let mut engine = Engine::new();
    open(&mut engine, "mine.igvm", file("mine.igvm", &sample("parameters")));
    act(&mut engine, "filter-text", &[("value", "page_data")]);
    let mut slices = 0;
    while let update = serde_json::from_str::<Value>(&engine.work(1.0)).unwrap()
        && update["working"].is_object()
    {
        slices += 1;
        assert!(slices < 1000);
    }
}
