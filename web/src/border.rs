//! What JavaScript sees: opening a file, an event, and an update as JSON.

use std::any::Any;

use igvm_core::span::Span;
use js_sys::{Array, Uint8Array};
use wasm_bindgen::prelude::*;
use web_sys::{Blob, FileReaderSync};

use crate::app::{App, Event, Update};
use crate::model::blocks::ByteSource;
use crate::model::export::Sink;
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

    /// The file that an update has made ready to be taken away.
    ///
    /// # Errors
    /// A sentence.
    pub fn download(&mut self) -> Result<Blob, JsValue> {
        let mut sink = BlobSink::default();
        self.0.export(&mut sink).map_err(|error| JsValue::from_str(&error))?;
        match sink.failed {
            false => blob(&sink.parts),
            true => Err(JsValue::from_str("The browser cannot put this file together.")),
        }
    }

    /// Reacts to an event: its action, and the names and values of its fields.
    pub fn act(&mut self, action: &str, names: Vec<String>, values: Vec<String>) -> String {
        match Event::read(action, names.into_iter().zip(values).collect()) {
            Some(event) => json(&self.0.act(event)),
            None => failed("the page sent an event that is not known"),
        }
    }
}

fn json(update: &Update) -> String {
    serde_json::to_string(update).unwrap_or_else(|_| failed("an update cannot be told"))
}

/// An update that is only a sentence, which needs no escapes.
fn failed(sentence: &str) -> String {
    format!(r#"{{"error":"{sentence}"}}"#)
}

/// A file that the browser holds.
struct BlobSource {
    blob: Blob,
    reader: FileReaderSync,
}

impl BlobSource {
    fn slice(&self, offset: u64, len: u64) -> Result<Blob, JsValue> {
        // File sizes are far below 2^53.
        self.blob.slice_with_f64_and_f64(offset as f64, offset.saturating_add(len) as f64)
    }
}

impl ByteSource for BlobSource {
    fn read(&self, offset: u64, buf: &mut [u8]) -> bool {
        let read = self
            .slice(offset, buf.len() as u64)
            .and_then(|part| self.reader.read_as_array_buffer(&part));
        let Ok(bytes) = read else { return false };
        let bytes = Uint8Array::new(&bytes);
        if bytes.length() as usize != buf.len() {
            return false;
        }
        bytes.copy_to(buf);
        true
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

/// Parts of a file are put together before they become too many.
const PARTS_MAX: u32 = 1024;

/// Bytes of zeroes that are made; more are the same ones again.
const ZEROES: u64 = 1 << 20;

/// A file in the browser's own storage, of parts: nothing of the opened file is
/// copied, and what is made does not stay in the engine's memory.
#[derive(Default)]
struct BlobSink {
    parts: Array,
    zeroes: Option<Blob>,
    failed: bool,
}

impl BlobSink {
    fn add(&mut self, part: Result<Blob, JsValue>) {
        let Ok(part) = part else {
            self.failed = true;
            return;
        };
        if self.parts.length() >= PARTS_MAX {
            let whole = blob(&self.parts);
            self.parts = Array::new();
            self.add(whole);
        }
        self.parts.push(&part);
    }
}

impl Sink for BlobSink {
    fn bytes(&mut self, bytes: &[u8]) {
        let part = Uint8Array::from(bytes);
        self.add(blob(&Array::of1(&part)));
    }

    fn file(&mut self, source: &dyn ByteSource, span: Span) {
        match source.as_any().and_then(<dyn Any>::downcast_ref::<BlobSource>) {
            Some(source) => self.add(source.slice(span.start, span.len)),
            None => self.failed = true,
        }
    }

    fn zeroes(&mut self, len: u64) {
        let mut left = len;
        while left > 0 && !self.failed {
            let piece = match &self.zeroes {
                Some(zeroes) => Ok(zeroes.clone()),
                None => blob(&Array::of1(&Uint8Array::new_with_length(ZEROES as u32))),
            };
            self.zeroes = piece.as_ref().ok().cloned();
            let len = left.min(ZEROES);
            self.add(piece.and_then(|piece| piece.slice_with_f64_and_f64(0.0, len as f64)));
            left -= len;
        }
    }
}

fn blob(parts: &Array) -> Result<Blob, JsValue> {
    Blob::new_with_blob_sequence(parts)
}
