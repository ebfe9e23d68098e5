//! Guest memory as the devices see it.

use igvm_core::x86::paging::{PhysicalMemory, Unreadable};
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

/// The machine's memory, for walks through the guest's page tables as they are
/// now.
#[derive(Clone, Copy)]
pub struct LiveMemory<'a>(pub &'a GuestMemoryMmap);

impl PhysicalMemory for LiveMemory<'_> {
    fn read(&self, gpa: u64, bytes: &mut [u8]) -> Result<(), Unreadable> {
        self.0.read_slice(bytes, GuestAddress(gpa)).map_err(|_| Unreadable)
    }
}
