//! Virtio 1.2 devices on PCI, without the interface from before version 1.
//!
//! - `queue`: split virtqueues in the guest's memory, every index, length and
//!   address of which is the guest's.
//! - `status`: device status and feature negotiation.
//! - `block`: the requests of a block device.
//! - `function`: the PCI function that puts them together.
//!
//! A driver that breaks the rules of a queue gets DEVICE_NEEDS_RESET, and
//! nothing more is done for it until it resets the device.

mod block;
mod function;
mod queue;
mod status;

pub(crate) use function::VirtioBlock;
pub use queue::{Broken, Chain, Segment, Virtqueue};
