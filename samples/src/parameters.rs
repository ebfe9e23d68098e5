//! Every parameter a loader can fill in.

use igvm_core::defs::{
    IGVM_VHS_ERROR_RANGE, IGVM_VHS_PARAMETER_INSERT, IGVM_VHS_REQUIRED_MEMORY, RequiredMemoryFlags,
};
use igvm_core::wire::ParameterKind;
use igvm_core::write::{Data, FileBuilder, HeaderSpec};

use crate::Sample;
use crate::guest::Program64;
use crate::layout::{self, CODE, NATIVE, PAGE_4K, push};

const LINE_START: &str = "Hello from parameters: processors ";

pub(crate) const SAMPLE: Sample = Sample {
    name: "parameters",
    title: "The loader fills parameter areas with what it knows of the machine and copies them \
            into the guest, which prints two of them.",
    prints: LINE_START,
    committed: true,
    build,
};

/// One page of small things and one for the command line, from zeroes.
const SMALL: Area = Area { index: 0, gpa: 0x2_0000, pages: 2 };
const VP_COUNT: u32 = 0;
const ENVIRONMENT_INFO: u32 = 4;
const MMIO_RANGES: u32 = 0x10;
const COMMAND_LINE: u32 = 0x1000;

/// The memory map behind a heading that the file brings.
const MAP: Area = Area { index: 1, gpa: 0x2_2000, pages: 1 };
const MAP_HEADING: &[u8] = b"memory map at +0x100";
const MEMORY_MAP: u32 = 0x100;

/// ACPI tables, one page each but two for the MADT, which grows with the
/// number of processors.
const TABLES: Area = Area { index: 2, gpa: 0x2_4000, pages: 5 };
const MADT: u32 = 0;
const SRAT: u32 = 0x2000;
const SLIT: u32 = 0x3000;
const PPTT: u32 = 0x4000;

/// The device tree, an area of its own: the one parameter meant to hold all
/// the others one day.
const TREE: Area = Area { index: 3, gpa: 0x3_0000, pages: 16 };

const REQUIRED_GPA: u64 = 0x10_0000;
const REQUIRED_LEN: u32 = 0x1_0000;
const ERROR_GPA: u64 = 0x4_0000;

struct Area {
    index: u32,
    gpa: u64,
    pages: u64,
}

impl Area {
    fn push(&self, file: &mut FileBuilder, initial: Data<'_>, contents: &[(ParameterKind, u32)]) {
        let (index, number_of_bytes) = (self.index, self.pages * PAGE_4K);
        push(file, HeaderSpec::ParameterArea { index, number_of_bytes, initial });
        for (kind, offset) in contents {
            push(file, HeaderSpec::parameter(*kind, self.index, *offset));
        }
        push(
            file,
            HeaderSpec::ParameterInsert(IGVM_VHS_PARAMETER_INSERT {
                gpa: self.gpa,
                compatibility_mask: NATIVE,
                parameter_area_index: self.index,
            }),
        );
    }
}

fn build() -> Vec<u8> {
    use ParameterKind::{
        CommandLine, DeviceTree, EnvironmentInfo, Madt, MemoryMap, MmioRanges, Pptt, Slit, Srat,
        VpCount,
    };
    let mut file = layout::native_file();
    let context = layout::push_long64(&mut file, NATIVE);
    push(&mut file, HeaderSpec::page(CODE, NATIVE, &program()));
    push(
        &mut file,
        HeaderSpec::RequiredMemory(IGVM_VHS_REQUIRED_MEMORY {
            gpa: REQUIRED_GPA,
            compatibility_mask: NATIVE,
            number_of_bytes: REQUIRED_LEN,
            flags: RequiredMemoryFlags::new(),
            reserved: 0,
        }),
    );
    push(
        &mut file,
        HeaderSpec::ErrorRange(IGVM_VHS_ERROR_RANGE {
            gpa: ERROR_GPA,
            compatibility_mask: NATIVE,
            size_bytes: PAGE_4K as u32,
        }),
    );
    let small = [
        (VpCount, VP_COUNT),
        (EnvironmentInfo, ENVIRONMENT_INFO),
        (MmioRanges, MMIO_RANGES),
        (CommandLine, COMMAND_LINE),
    ];
    SMALL.push(&mut file, Data::Zero, &small);
    MAP.push(&mut file, Data::Bytes(MAP_HEADING), &[(MemoryMap, MEMORY_MAP)]);
    let tables = [(Madt, MADT), (Srat, SRAT), (Slit, SLIT), (Pptt, PPTT)];
    TABLES.push(&mut file, Data::Zero, &tables);
    TREE.push(&mut file, Data::Zero, &[(DeviceTree, 0)]);
    push(&mut file, HeaderSpec::native_context(NATIVE, &context));
    file.finish()
}

fn program() -> Vec<u8> {
    let mut program = Program64::new();
    program.print(LINE_START);
    program.print_u32_at(SMALL.gpa + u64::from(VP_COUNT));
    program.print(", command line \"");
    program.print_at(SMALL.gpa + u64::from(COMMAND_LINE));
    program.print("\"\n");
    program.finish(CODE)
}
