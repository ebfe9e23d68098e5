//! Device status and feature negotiation (virtio 1.2, sections 2.1, 2.2 and
//! 3.1).

const DRIVER_OK: u8 = 4;
const FEATURES_OK: u8 = 8;
const NEEDS_RESET: u8 = 64;

/// Feature: the device is one of virtio 1, the only one there is here.
pub(super) const VERSION_1: u64 = 1 << 32;
/// Feature: indirect descriptors.
pub(super) const INDIRECT_DESC: u64 = 1 << 28;
/// Feature: a queue can be reset by itself.
pub(super) const RING_RESET: u64 = 1 << 40;

/// What driver and device have agreed upon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Status {
    bits: u8,
    offered: u64,
    /// What the driver has written.
    wanted: u64,
    device_select: u32,
    driver_select: u32,
}

impl Status {
    /// Before negotiation, of a device that offers these features.
    pub(super) const fn new(offered: u64) -> Self {
        Self { bits: 0, offered, wanted: 0, device_select: 0, driver_select: 0 }
    }

    pub(super) const fn bits(&self) -> u8 {
        self.bits
    }

    /// Sets bits as the driver asks; it can clear none. 0 is a reset, which the
    /// caller does. Says whether the features are now agreed upon.
    pub(super) fn set(&mut self, bits: u8) -> bool {
        let mut new = bits & !self.bits & !NEEDS_RESET;
        let acceptable = self.wanted & !self.offered == 0 && self.wanted & VERSION_1 != 0;
        // The driver looks whether it stays set.
        if !acceptable {
            new &= !FEATURES_OK;
        }
        if (self.bits | new) & FEATURES_OK == 0 {
            new &= !DRIVER_OK;
        }
        self.bits |= new;
        new & FEATURES_OK != 0
    }

    /// Whether the driver is ready and nothing has gone wrong.
    pub(super) const fn is_running(&self) -> bool {
        self.bits & (DRIVER_OK | NEEDS_RESET) == DRIVER_OK
    }

    /// Stops the device until it is reset.
    pub(super) const fn need_reset(&mut self) {
        self.bits |= NEEDS_RESET;
    }

    /// Whether a feature is agreed upon.
    pub(super) const fn has(&self, feature: u64) -> bool {
        self.bits & FEATURES_OK != 0 && self.wanted & feature != 0
    }

    pub(super) const fn device_select(&self) -> u32 {
        self.device_select
    }

    pub(super) const fn select_device(&mut self, word: u32) {
        self.device_select = word;
    }

    pub(super) const fn driver_select(&self) -> u32 {
        self.driver_select
    }

    pub(super) const fn select_driver(&mut self, word: u32) {
        self.driver_select = word;
    }

    /// The selected 32 features that are offered.
    pub(super) const fn offered(&self) -> u32 {
        word(self.offered, self.device_select)
    }

    /// The selected 32 features that the driver wants.
    pub(super) const fn wanted(&self) -> u32 {
        word(self.wanted, self.driver_select)
    }

    /// Sets the selected 32 features that the driver wants, until it is agreed
    /// upon.
    pub(super) fn want(&mut self, features: u32) {
        if self.bits & FEATURES_OK == 0 && self.driver_select < 2 {
            let shift = 32 * self.driver_select;
            self.wanted &= !(u64::from(u32::MAX) << shift);
            self.wanted |= u64::from(features) << shift;
        }
    }
}

const fn word(features: u64, select: u32) -> u32 {
    match select {
        0 => features as u32,
        1 => (features >> 32) as u32,
        _ => 0,
    }
}
