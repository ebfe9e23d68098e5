//! Guest memory as the devices see it.

use igvm_devices::{Memory, NoMemory};
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// The machine's memory, for devices that read and write by themselves.
#[derive(Clone)]
pub struct GuestRam(pub GuestMemoryMmap);

impl Memory for GuestRam {
    fn read(&mut self, gpa: u64, bytes: &mut [u8]) -> Result<(), NoMemory> {
        self.0.read_slice(bytes, GuestAddress(gpa)).map_err(|_| NoMemory { gpa })
    }

    fn write(&mut self, gpa: u64, bytes: &[u8]) -> Result<(), NoMemory> {
        self.0.write_slice(bytes, GuestAddress(gpa)).map_err(|_| NoMemory { gpa })
    }
}
