//! What JavaScript sees: opening a file, an event, and an update as JSON.

use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

use crate::app::{App, Event, Update};
use crate::model::blocks::ByteSource;
use crate::model::focus::Subject;

#[wasm_bindgen]
extern "C" {
    /// The worker keeps the words of a panic: the engine cannot be asked any
    /// more.
    #[wasm_bindgen(js_name = engineStopped)]
    fn engine_stopped(reason: &str);
}

/// Says why, should the engine ever stop.
#[wasm_bindgen(start)]
pub fn start() {
    std::panic::set_hook(Box::new(|panic| engine_stopped(&panic.to_string())));
}

/// The page's state, held by the worker.
#[wasm_bindgen]
pub struct Engine(App);

#[wasm_bindgen]
impl Engine {
    /// Nothing open.
    #[wasm_bindgen(constructor)]
    #[allow(clippy::new_without_default, reason = "for JavaScript alone")]
    pub fn new() -> Self {
        Self(App::new())
    }

    /// Opens a file. It stays where it is; parts are read when they are shown.
    pub fn open(&mut self, blob: Blob, name: String, is_sample: bool) -> String {
        let subject = if is_sample { Subject::Sample(name) } else { Subject::File(name) };
        let len = blob.size() as u64;
        match FileReaderSync::new() {
            Ok(reader) => json(&self.0.open(subject, len, Box::new(BlobSource { blob, reader }))),
            Err(_) => failed("this browser has no FileReaderSync, which reads files in a worker"),
        }
    }

    /// Goes on with long work for so many milliseconds.
    pub fn work(&mut self, milliseconds: f64) -> String {
        let end = js_sys::Date::now() + milliseconds;
        json(&self.0.work(|| js_sys::Date::now() < end))
    }

    /// Reacts to an event, given as JSON.
    pub fn act(&mut self, event: &str) -> String {
        match serde_json::from_str::<Event>(event) {
            Ok(event) => json(&self.0.act(event)),
            Err(error) => failed(&format!("the page sent an event that is not known: {error}")),
        }
    }
}

fn json(update: &Update) -> String {
    serde_json::to_string(update).unwrap_or_else(|error| failed(&error.to_string()))
}

fn failed(error: &str) -> String {
    serde_json::json!({ "error": error }).to_string()
}

/// A file that the browser holds.
struct BlobSource {
    blob: Blob,
    reader: FileReaderSync,
}

impl ByteSource for BlobSource {
    fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        // File sizes are far below 2^53.
        let end = offset.saturating_add(buf.len() as u64);
        let read = self
            .blob
            .slice_with_f64_and_f64(offset as f64, end as f64)
            .and_then(|part| self.reader.read_as_array_buffer(&part));
        let Ok(bytes) = read else { return false };
        let bytes = js_sys::Uint8Array::new(&bytes);
        if bytes.length() as usize != buf.len() {
            return false;
        }
        bytes.copy_to(buf);
        true
    }
}
