//! The proof that `core` needs neither std nor an allocator: `tests/no-std`,
//! built for wasm32, imports nothing and never grows its memory. And that
//! `devices`, which has an allocator, needs no operating system.

use std::fs;

use wasmparser::{BinaryReaderError, KnownCustom, Name, Operator, Parser, Payload};

use crate::command::Workplace;
use crate::step::{StepResult, Stop};
use crate::wasm::{TARGET, Toolchain};

/// What the crate exports.
const ENTRY: &str = "igvm_digest";

/// Parts of the names that an allocator's functions have.
const ALLOCATOR_NAMES: [&str; 5] = ["__rust_alloc", "__rdl_", "__rg_", "malloc", "GlobalAlloc"];

/// The step.
pub(crate) fn run(place: &Workplace) -> StepResult {
    let toolchain = Toolchain::find(place)?;
    place.run(
        toolchain
            .build(place)
            .args(["--release", "--manifest-path"])
            .arg(place.root.join("tests/no-std/Cargo.toml")),
    )?;
    place.run(toolchain.build(place).args(["--package", "igvm-devices"]))?;
    let path = toolchain.release_dir(place).join("igvm_no_std.wasm");
    let bytes = fs::read(&path)
        .map_err(|error| Stop::Failed(format!("{} cannot be read: {error}", path.display())))?;
    let module = Module::read(&bytes)
        .map_err(|error| Stop::Failed(format!("{} is not a module: {error}", path.display())))?;
    match module.objections() {
        objections if objections.is_empty() => Ok(format!(
            "{} bytes, {} functions, no imports, no allocator; devices builds for {TARGET}; both by the \
             {} toolchain",
            bytes.len(),
            module.functions.len(),
            toolchain.name()
        )),
        objections => Err(Stop::Failed(format!("{}: {}", path.display(), objections.join("; ")))),
    }
}

/// What of a module says whether it stands alone.
#[derive(Default)]
struct Module {
    imports: Vec<String>,
    exports: Vec<String>,
    functions: Vec<String>,
    grows: bool,
}

impl Module {
    fn read(bytes: &[u8]) -> Result<Self, BinaryReaderError> {
        let mut module = Self::default();
        for payload in Parser::new(0).parse_all(bytes) {
            match payload? {
                Payload::ImportSection(section) => {
                    for import in section.into_imports() {
                        let import = import?;
                        module.imports.push(format!("{}.{}", import.module, import.name));
                    }
                }
                Payload::ExportSection(section) => {
                    for export in section {
                        module.exports.push(export?.name.to_owned());
                    }
                }
                Payload::CodeSectionEntry(body) => {
                    for operator in body.get_operators_reader()? {
                        module.grows |= matches!(operator?, Operator::MemoryGrow { .. });
                    }
                }
                Payload::CustomSection(section) => {
                    if let KnownCustom::Name(names) = section.as_known() {
                        module.read_names(names)?;
                    }
                }
                _ => {}
            }
        }
        Ok(module)
    }

    fn read_names(
        &mut self,
        names: wasmparser::NameSectionReader<'_>,
    ) -> Result<(), BinaryReaderError> {
        for name in names {
            if let Name::Function(functions) = name? {
                for function in functions {
                    self.functions.push(function?.name.to_owned());
                }
            }
        }
        Ok(())
    }

    /// Why the module does not prove what it should.
    fn objections(&self) -> Vec<String> {
        let mut objections = Vec::new();
        if !self.imports.is_empty() {
            objections.push(format!("imports {}", self.imports.join(", ")));
        }
        if !self.exports.iter().any(|name| name == ENTRY) {
            objections.push(format!("does not export {ENTRY}, so nothing of core is in it"));
        }
        if self.grows {
            objections.push("grows its memory".into());
        }
        if self.functions.is_empty() {
            objections.push("has no names, so an allocator would not be seen".into());
        }
        for name in self.functions.iter().chain(&self.exports) {
            if ALLOCATOR_NAMES.iter().any(|part| name.contains(part)) {
                objections.push(format!("holds the allocator's function {name}"));
            }
        }
        objections
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn section(id: u8, content: &[u8]) -> Vec<u8> {
        let mut bytes = vec![id, content.len() as u8];
        bytes.extend_from_slice(content);
        bytes
    }

    /// A module with one function of this name and code, exported as the entry.
    fn module(import: bool, name: &[u8], code: &[u8]) -> Vec<u8> {
        let mut bytes = b"\0asm\x01\0\0\0".to_vec();
        bytes.extend(section(1, &[1, 0x60, 0, 0]));
        if import {
            bytes.extend(section(2, b"\x01\x03env\x01f\0\0"));
        }
        bytes.extend(section(3, &[1, 0]));
        bytes.extend(section(5, &[1, 0, 1]));
        let index = u8::from(import);
        bytes.extend(section(7, &[b"\x01\x0bigvm_digest\0", &[index][..]].concat()));
        // No locals before the code, `end` behind it.
        let body = [&[0], code, &[0x0b]].concat();
        bytes.extend(section(10, &[&[1, body.len() as u8], &body[..]].concat()));
        let names = section(1, &[&[1, index, name.len() as u8], name].concat());
        bytes.extend(section(0, &[b"\x04name", &names[..]].concat()));
        bytes
    }

    fn objections(bytes: &[u8]) -> Vec<String> {
        match Module::read(bytes) {
            Ok(module) => module.objections(),
            Err(error) => vec![error.to_string()],
        }
    }

    #[test]
    fn a_module_that_stands_alone_passes() {
        assert_eq!(objections(&module(false, b"igvm_digest", &[])), [""; 0]);
    }

    #[test]
    fn imports_and_allocators_are_seen() {
        // i32.const 1, memory.grow 0, drop
        let grow = [0x41, 1, 0x40, 0, 0x1a];
        assert_eq!(
            objections(&module(true, b"__rust_alloc", &grow)),
            ["imports env.f", "grows its memory", "holds the allocator's function __rust_alloc"]
        );
    }

    #[test]
    fn a_module_that_proves_nothing_is_seen() {
        let objections = objections(b"\0asm\x01\0\0\0");
        assert_eq!(objections.len(), 2, "{objections:?}");
    }
}
