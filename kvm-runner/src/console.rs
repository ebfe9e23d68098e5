//! Where the guest's text goes: the serial port's and the debug port's, and
//! whether the text that somebody waits for was among it.

use std::fmt;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Where one of the streams goes.
pub enum Destination {
    /// To standard output. Two streams that share it take turns by line.
    Stdio,
    /// Nowhere; it is still watched.
    Nowhere,
    /// To a writer of its own.
    Writer(Box<dyn Write + Send>),
}

/// Which stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// COM1.
    Serial,
    /// The debug port.
    Debug,
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Serial => "serial",
            Self::Debug => "debug",
        })
    }
}

/// Both streams.
#[derive(Clone)]
pub struct Console(Arc<Shared>);

struct Shared {
    inner: Mutex<Inner>,
    /// Set once, and without the lock: read after every port access.
    ended: AtomicBool,
    /// Whether a write that is interrupted is given up.
    abandoned: Arc<AtomicBool>,
}

struct Inner {
    serial: Destination,
    debug: Destination,
    terminal: Interleaved<Interruptible>,
    until: [Option<Search>; 2],
    seen: Option<Source>,
    failure: Option<(Source, io::Error)>,
}

impl Console {
    /// A console that watches both streams for `until`. An empty text is never
    /// waited for.
    pub fn new(serial: Destination, debug: Destination, until: Option<&str>) -> Self {
        let search = || until.filter(|text| !text.is_empty()).map(Search::new);
        let abandoned = Arc::new(AtomicBool::new(false));
        let interruptible = |writer| Interruptible { writer, abandoned: Arc::clone(&abandoned) };
        let watched = |destination| match destination {
            Destination::Writer(writer) => Destination::Writer(Box::new(interruptible(writer))),
            other => other,
        };
        let inner = Inner {
            serial: watched(serial),
            debug: watched(debug),
            terminal: Interleaved::new(interruptible(standard_output())),
            until: [search(), search()],
            seen: None,
            failure: None,
        };
        let ended = AtomicBool::new(false);
        Self(Arc::new(Shared { inner: Mutex::new(inner), ended, abandoned }))
    }

    /// The writer for one stream.
    pub fn writer(&self, source: Source) -> Box<dyn Write + Send> {
        Box::new(Stream { shared: self.0.clone(), source })
    }

    /// Whether the run should end: the text was seen or output failed.
    pub fn ended(&self) -> bool {
        self.0.ended.load(Ordering::Acquire)
    }

    /// The stream in which the awaited text was seen.
    pub fn seen(&self) -> Option<Source> {
        self.0.lock().seen
    }

    /// The first failure to write, which ended that stream.
    pub fn failure(&self) -> Option<(Source, String)> {
        self.0.lock().failure.as_ref().map(|(source, error)| (*source, error.to_string()))
    }

    /// Whether from now on a signal ends a write that waits for a reader.
    /// Without it nobody's time would ever be up who writes into a pipe that is
    /// full.
    pub fn interrupt(&self, writes: bool) {
        self.0.abandoned.store(writes, Ordering::Release);
    }

    /// A writer of somebody else's that is given up under the same conditions.
    pub fn interruptible(&self, writer: Box<dyn Write + Send>) -> Box<dyn Write + Send> {
        Box::new(Interruptible { writer, abandoned: Arc::clone(&self.0.abandoned) })
    }

    /// Writes what still waits for the end of somebody's line, unless nobody
    /// reads it.
    pub fn finish(&self) {
        let mut inner = self.0.lock();
        let timed_out = |(_, error): &(Source, io::Error)| error.kind() == io::ErrorKind::TimedOut;
        if inner.failure.as_ref().is_some_and(timed_out) {
            return;
        }
        if let Err(error) = inner.terminal.finish() {
            inner.failure.get_or_insert((Source::Serial, error));
        }
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Inner> {
        // A panic elsewhere leaves text half written, nothing worse.
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One stream's writer. Everything written is flushed at once.
struct Stream {
    shared: Arc<Shared>,
    source: Source,
}

impl Write for Stream {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        let mut inner = self.shared.lock();
        let inner = &mut *inner;
        let at = self.source as usize;
        if inner.until[at].as_mut().is_some_and(|search| search.feed(text)) {
            inner.seen.get_or_insert(self.source);
            self.shared.ended.store(true, Ordering::Release);
        }
        let destination = match self.source {
            Source::Serial => &mut inner.serial,
            Source::Debug => &mut inner.debug,
        };
        let written = match destination {
            Destination::Nowhere => Ok(()),
            Destination::Stdio => inner.terminal.write(self.source, text),
            Destination::Writer(writer) => writer.write_all(text).and_then(|()| writer.flush()),
        };
        if let Err(error) = written {
            *destination = Destination::Nowhere;
            inner.failure.get_or_insert((self.source, error));
            self.shared.ended.store(true, Ordering::Release);
        }
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A writer that a signal can end once it is abandoned; before, it only starts
/// again what the signal interrupted.
struct Interruptible {
    writer: Box<dyn Write + Send>,
    abandoned: Arc<AtomicBool>,
}

impl Write for Interruptible {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        loop {
            match self.writer.write(text) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                    if self.abandoned.load(Ordering::Acquire) {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                written => return written,
            }
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.writer.flush()
    }
}

/// Standard output without Rust's buffer, which would not be interrupted.
pub fn standard_output() -> Box<dyn Write + Send> {
    #[cfg(unix)]
    {
        use std::os::fd::AsFd;
        if let Ok(descriptor) = io::stdout().as_fd().try_clone_to_owned() {
            return Box::new(std::fs::File::from(descriptor));
        }
    }
    Box::new(io::stdout())
}

/// Two streams on one terminal. Who has begun a line is written through; the
/// other waits for the end of that line.
struct Interleaved<W> {
    terminal: W,
    /// Whose line is open.
    open: Option<Source>,
    /// What the other stream has said meanwhile.
    waiting: Vec<u8>,
}

impl<W: Write> Interleaved<W> {
    /// More than this is not kept waiting: the open line is broken instead.
    const PATIENCE: usize = 4096;

    const fn new(terminal: W) -> Self {
        Self { terminal, open: None, waiting: Vec::new() }
    }

    fn write(&mut self, source: Source, text: &[u8]) -> io::Result<()> {
        if self.open.is_some_and(|open| open != source) {
            self.waiting.extend_from_slice(text);
            return if self.waiting.len() > Self::PATIENCE { self.finish() } else { Ok(()) };
        }
        self.terminal.write_all(text)?;
        if text.ends_with(b"\n") {
            self.terminal.write_all(&self.waiting)?;
            self.open = match self.waiting.last() {
                None | Some(b'\n') => None,
                Some(_) => Some(other(source)),
            };
            self.waiting.clear();
        } else if !text.is_empty() {
            self.open = Some(source);
        }
        self.terminal.flush()
    }

    /// Writes what waits, on a line of its own.
    fn finish(&mut self) -> io::Result<()> {
        if let (Some(open), false) = (self.open, self.waiting.is_empty()) {
            self.terminal.write_all(b"\n")?;
            self.terminal.write_all(&self.waiting)?;
            self.open = (!self.waiting.ends_with(b"\n")).then_some(other(open));
            self.waiting.clear();
        }
        self.terminal.flush()
    }
}

const fn other(source: Source) -> Source {
    match source {
        Source::Serial => Source::Debug,
        Source::Debug => Source::Serial,
    }
}

/// Looks for a text in a stream that arrives in pieces (Knuth, Morris, Pratt).
struct Search {
    text: Vec<u8>,
    /// For each length of a match so far: the longest shorter match that it
    /// ends with.
    shorter: Vec<usize>,
    matched: usize,
}

impl Search {
    fn new(text: &str) -> Self {
        let text = text.as_bytes().to_vec();
        let mut shorter = vec![0; text.len() + 1];
        let mut matched = 0;
        for at in 1..text.len() {
            while matched > 0 && text[at] != text[matched] {
                matched = shorter[matched];
            }
            matched += usize::from(text[at] == text[matched]);
            shorter[at + 1] = matched;
        }
        Self { text, shorter, matched: 0 }
    }

    /// Whether the text ends in this piece of the stream.
    fn feed(&mut self, piece: &[u8]) -> bool {
        let mut found = false;
        for byte in piece {
            while self.matched > 0 && *byte != self.text[self.matched] {
                self.matched = self.shorter[self.matched];
            }
            self.matched += usize::from(*byte == self.text[self.matched]);
            if self.matched == self.text.len() {
                found = true;
                self.matched = self.shorter[self.matched];
            }
        }
        found
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn search_finds_what_contains_finds(
            pieces in prop::collection::vec("[ab]{0,6}", 0..8),
            text in "[ab]{1,5}",
        ) {
            let mut search = Search::new(&text);
            let found = pieces.iter().any(|piece| search.feed(piece.as_bytes()));
            prop_assert_eq!(found, pieces.concat().contains(&text));
        }

        /// Whatever two streams do, each one's lines come out whole and in
        /// order, and nothing is lost.
        #[test]
        fn streams_take_turns_by_line(
            writes in prop::collection::vec((any::<bool>(), "[xyz\n]"), 0..200),
        ) {
            let mut terminal = Interleaved::new(Vec::new());
            let mut said = [String::new(), String::new()];
            for (debug, text) in writes {
                let source = if debug { Source::Debug } else { Source::Serial };
                let text = if debug { text.to_uppercase() } else { text };
                said[source as usize].push_str(&text);
                terminal.write(source, text.as_bytes())?;
            }
            terminal.finish()?;
            let out = String::from_utf8(terminal.terminal)?;
            for (said, of) in said.iter().zip([char::is_lowercase as fn(char) -> bool, char::is_uppercase]) {
                let lines = |text: &str| -> Vec<String> {
                    text.lines().filter(|line| line.contains(of)).map(str::to_owned).collect()
                };
                prop_assert_eq!(lines(&out), lines(said));
            }
        }
    }

    #[test]
    fn an_endless_line_is_broken_in_the_end() -> io::Result<()> {
        let mut terminal = Interleaved::new(Vec::new());
        terminal.write(Source::Serial, b"login: ")?;
        terminal.write(Source::Debug, &[b'.'; 5000])?;
        assert!(terminal.terminal.starts_with(b"login: \n....."));
        Ok(())
    }

    #[test]
    fn a_failing_writer_ends_the_run_and_says_why() -> io::Result<()> {
        struct Full;
        impl Write for Full {
            fn write(&mut self, _: &[u8]) -> io::Result<usize> {
                Err(io::ErrorKind::StorageFull.into())
            }
            fn flush(&mut self) -> io::Result<()> {
                Ok(())
            }
        }
        let console = Console::new(Destination::Writer(Box::new(Full)), Destination::Nowhere, None);
        console.writer(Source::Serial).write_all(b"x")?;
        assert!(console.ended());
        assert_eq!(console.failure().map(|(source, _)| source), Some(Source::Serial));
        Ok(())
    }
}
