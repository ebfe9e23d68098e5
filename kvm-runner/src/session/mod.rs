//! A machine from its start to its end: running, resetting, answering people.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use igvm_devices::{COM1_IRQ, Description, Devices, Disk, Ending, Wiring};

use crate::clock::HostClock;
use crate::console::{Console, Source};
use crate::guest::{BootError, Image};
use crate::kvm::{Around, Control, Deadline, Machine, Pace, Paused, Report, Request, Stop};

/// What to do when something could go on by a reset.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OnFailure {
    /// The run ends.
    Stop,
    /// The machine is reset.
    Reset,
}

/// How a machine is run.
#[derive(Debug, Clone)]
pub struct Settings {
    /// The run ends after this time.
    pub limit: Option<Duration>,
    /// When the guest asks for a reset.
    pub on_reset: OnFailure,
    /// When the guest takes a triple fault, by which real PCs are reset.
    pub on_triple_fault: OnFailure,
    /// The machine is reset when this much has passed since its start or its
    /// last reset.
    pub reset_every: Option<Duration>,
    /// How the processors run.
    pub pace: Pace,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            limit: None,
            on_reset: OnFailure::Reset,
            on_triple_fault: OnFailure::Stop,
            reset_every: None,
            pace: Pace::Free,
        }
    }
}

/// A machine with its devices, its image and its console.
pub struct Session<'a> {
    /// The machine. It stands still while it can be reached.
    pub machine: Machine,
    /// What is around the processors.
    pub around: Around,
    image: &'a dyn Image,
    settings: Settings,
    resets: u64,
    started: Instant,
    /// When `reset_every` wants the next reset.
    next: Option<Instant>,
}

impl<'a> Session<'a> {
    /// Connects devices to a machine that was made of `image`.
    ///
    /// # Errors
    /// Fails where the host has no interrupt line left.
    pub fn new(
        machine: Machine,
        image: &'a dyn Image,
        description: &Description,
        console: Console,
        disk: Option<Box<dyn Disk>>,
        settings: Settings,
    ) -> Result<Self, BootError> {
        let wiring = Wiring {
            serial: console.writer(Source::Serial),
            debug: console.writer(Source::Debug),
            serial_line: machine.interrupt_line(COM1_IRQ)?,
            pci_interrupts: machine.pci_interrupts(),
            disk,
            clock: Box::new(HostClock::new()),
        };
        let devices = Arc::new(Mutex::new(Devices::new(description, wiring)));
        let around = Around { devices, console, control: Control::default(), watch: None };
        Ok(Self {
            machine,
            around,
            image,
            settings,
            resets: 0,
            started: Instant::now(),
            next: None,
        })
    }

    /// Runs until the end, and says where the machine stands then. `show` is
    /// given the report when somebody asks for it meanwhile.
    ///
    /// # Errors
    /// Fails where the host does: no thread left, an image that can no longer
    /// be read.
    pub fn run(&mut self, show: impl FnMut(&Report)) -> Result<Report, BootError> {
        self.begin();
        self.run_on(show)
    }

    /// Lets the time run from now on.
    pub fn begin(&mut self) {
        self.started = Instant::now();
        self.next = None;
    }

    /// Like [`Session::run`], from wherever the machine stands.
    ///
    /// # Errors
    /// As [`Session::run`].
    pub fn run_on(&mut self, mut show: impl FnMut(&Report)) -> Result<Report, BootError> {
        loop {
            let paused = self.resume(self.settings.pace)?;
            if paused.stop == Stop::Requested(Request::Show) {
                show(&self.machine.report(paused));
                continue;
            }
            if !self.goes_on(&paused.stop) {
                return Ok(self.end(paused));
            }
            self.reset()?;
        }
    }

    /// The end: what the guest has said is written, and this is where it stands.
    pub fn end(&mut self, paused: Paused) -> Report {
        self.around.console.finish();
        self.machine.report(paused)
    }

    /// The stop that follows where the time is up while the machine stands
    /// still.
    pub fn overdue(&self) -> Option<Stop> {
        let after = self.settings.limit?;
        let over = self.started.elapsed() >= after;
        over.then_some(Stop::Timeout { after, halted: false })
    }

    /// Runs until the machine stops for whatever reason, or its time is up.
    ///
    /// # Errors
    /// Fails where the host has no thread left.
    pub fn resume(&mut self, pace: Pace) -> Result<Paused, BootError> {
        let end = self.settings.limit.and_then(|limit| self.started.checked_add(limit));
        let next = self.next_reset();
        let deadline = Deadline { at: [end, next].into_iter().flatten().min(), end };
        let mut paused = self.machine.resume(&self.around, pace, deadline)?;
        if let Stop::Timeout { after, .. } = &mut paused.stop {
            // A reset that waited for a reader may have waited until the end.
            let over = end.is_some_and(|end| end <= Instant::now());
            match over || next.is_none() {
                true => *after = self.settings.limit.unwrap_or_default(),
                false => paused.stop = Stop::Requested(Request::Reset),
            }
        }
        Ok(paused)
    }

    /// When `reset_every` wants the next reset: that long after the last,
    /// whoever wanted that, or from now on where the time has passed while the
    /// machine stood still.
    fn next_reset(&mut self) -> Option<Instant> {
        let every = self.settings.reset_every?;
        let now = Instant::now();
        if self.next.is_none_or(|next| next <= now) {
            self.next = now.checked_add(every);
        }
        self.next
    }

    /// Whether a reset follows a stop.
    pub fn goes_on(&self, stop: &Stop) -> bool {
        match stop {
            Stop::Requested(Request::Reset) => true,
            Stop::Ended(Ending::Reset { .. }) => self.settings.on_reset == OnFailure::Reset,
            Stop::TripleFault => self.settings.on_triple_fault == OnFailure::Reset,
            _ => false,
        }
    }

    /// Resets the machine: processors, devices, and the memory that the image
    /// names.
    ///
    /// # Errors
    /// Fails where the image can no longer be read, or KVM refuses something.
    pub fn reset(&mut self) -> Result<(), BootError> {
        self.around.devices.lock().unwrap_or_else(PoisonError::into_inner).reset();
        self.machine.reset(self.image, &self.around.control)?;
        self.resets += 1;
        self.next = None;
        Ok(())
    }

    /// How often it was reset.
    pub fn resets(&self) -> u64 {
        self.resets
    }
}
