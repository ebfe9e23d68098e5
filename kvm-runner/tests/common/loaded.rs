//! Machines that IGVM files make.

use igvm_analysis::document::Document;
use igvm_analysis::host::{HostDescription, HostTables};
use igvm_analysis::loaded::LoadStorage;
use igvm_core::load::{self, GuestMemory, default_platform};
use kvm_runner::image::LoadedImage;

/// A file on its way into a virtual machine.
pub struct Loaded<'a> {
    /// What core made of it.
    pub machine: &'a load::Machine<'a>,
    /// Its memory, read through core.
    pub memory: GuestMemory<'a, Document>,
    /// What the runner makes of it.
    pub image: LoadedImage<'a>,
    pub host: &'a load::Host<'a>,
}

/// Loads a file for its default platform, as the commands do, and hands it on.
pub fn with_loaded<R>(
    document: &Document,
    description: HostDescription,
    then: impl Fn(Loaded<'_>) -> R,
) -> R {
    let file = document.file();
    let tables = HostTables::new(description).unwrap();
    let host = tables.host();
    let platform = default_platform(&file).expect("the file supports native");
    LoadStorage::new()
        .load(&file, document, platform, &host, |machine, problems| {
            assert_eq!(machine.fatal_problems(), 0, "{problems:?}");
            then(Loaded {
                machine: &machine,
                memory: machine.memory(document, &host),
                image: LoadedImage::new(&machine, document, &host),
                host: &host,
            })
        })
        .unwrap()
}
