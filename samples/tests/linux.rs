//! Kernels wrapped into IGVM files, as the `igvm` crate reads them; and what is
//! refused.

use std::collections::BTreeMap;

use iced_x86::{Decoder, DecoderOptions, Formatter, IntelFormatter};
use igvm::{IgvmDirectiveHeader as Directive, IgvmFile};
use igvm_core::defs::IgvmNativeVpContextX64;
use igvm_core::write::wrap::linux::{
    ACPI, BOOT_PARAMS_GPA, BootParams, E820_RESERVED, Linux, LinuxError, LinuxFile, MADT_GPA,
    MEMORY_MAP_GPA, RESERVED, STUB_GPA, SetupHeader, linux, stub,
};
use igvm_samples::bzimage::{header, image};
use proptest::prelude::*;
use zerocopy::{FromBytes, IntoBytes};

/// A parameter area: its initial bytes, and its parameters by offset.
type Area = (Vec<u8>, Vec<(&'static str, u32)>);

/// What the `igvm` crate finds.
#[derive(Default)]
struct Contents {
    pages: BTreeMap<u64, Vec<u8>>,
    /// By the address where it is inserted.
    areas: BTreeMap<u64, Area>,
    required: Vec<(u64, u32)>,
    context: Option<Box<IgvmNativeVpContextX64>>,
}

fn read(file: &[u8]) -> Contents {
    let mut contents = Contents::default();
    let mut open = BTreeMap::new();
    let page = |data: &[u8]| {
        let mut page = data.to_vec();
        page.resize(4096, 0);
        page
    };
    for directive in IgvmFile::new_from_binary(file, None).unwrap().directives() {
        let parameter = match directive {
            Directive::CommandLine(parameter) => ("command line", parameter),
            Directive::MemoryMap(parameter) => ("memory map", parameter),
            Directive::Madt(parameter) => ("MADT", parameter),
            Directive::PageData { gpa, data, .. } => {
                assert!(contents.pages.insert(*gpa, page(data)).is_none(), "{gpa:#x} twice");
                continue;
            }
            Directive::ParameterArea { number_of_bytes, parameter_area_index, initial_data } => {
                let mut bytes = initial_data.clone();
                bytes.resize(*number_of_bytes as usize, 0);
                open.insert(*parameter_area_index, (bytes, Vec::new()));
                continue;
            }
            Directive::ParameterInsert(insert) => {
                let area = open.remove(&insert.parameter_area_index).unwrap();
                contents.areas.insert(insert.gpa, area);
                continue;
            }
            Directive::RequiredMemory { gpa, number_of_bytes, .. } => {
                contents.required.push((*gpa, *number_of_bytes));
                continue;
            }
            Directive::X64NativeVpContext { context, .. } => {
                contents.context = Some(context.clone());
                continue;
            }
            other => panic!("unexpected {other:?}"),
        };
        let (name, place) = parameter;
        let area = open.get_mut(&place.parameter_area_index).unwrap();
        area.1.push((name, place.byte_offset));
    }
    contents
}

impl Contents {
    fn bytes(&self, gpa: u64, len: usize) -> Vec<u8> {
        let from = gpa & !0xfff;
        let end = gpa + len as u64;
        let all: Vec<u8> =
            (from..end).step_by(4096).flat_map(|at| self.pages[&at].clone()).collect();
        all[(gpa - from) as usize..][..len].to_vec()
    }

    fn u64(&self, gpa: u64) -> u64 {
        u64::from_le_bytes(self.bytes(gpa, 8).try_into().unwrap())
    }
}

fn kernel(header: &SetupHeader) -> Vec<u8> {
    let code: Vec<u8> = (0..20_000_u32).map(|at| (at * 7) as u8 | 1).collect();
    image(header, &code)
}

fn wrap(kernel: &[u8], initrd: Option<&[u8]>, text: &str) -> Result<LinuxFile, LinuxError> {
    linux(&Linux { kernel, initrd, command_line: text.as_bytes(), acpi: b"RSD PTR " })
}

#[test]
fn a_kernel_is_handed_what_the_protocol_says() {
    let kernel = kernel(&header());
    let initrd = vec![0x5a; 5000];
    let LinuxFile { bytes, memory } = wrap(&kernel, Some(&initrd), "console=ttyS0").unwrap();
    assert_eq!((memory.start, memory.end()), (0x100_0000, 0x120_2000));
    let found = read(&bytes);
    assert_eq!(found.required, [(0x100_0000, 0x20_2000)]);
    let code = &kernel[1024..];
    assert_eq!(found.bytes(0x100_0000, code.len()), code);
    assert_eq!(found.bytes(0x120_0000, initrd.len()), initrd);

    let page = found.bytes(BOOT_PARAMS_GPA, 4096);
    let params = BootParams::read_from_bytes(&page).unwrap();
    assert_eq!(params.acpi_rsdp_addr.get(), ACPI.start);
    assert_eq!(params.e820_entries, 1);
    let reserved = params.e820_table[0];
    assert_eq!((reserved.addr.get(), reserved.size.get()), (RESERVED.start, RESERVED.len));
    assert_eq!(reserved.typ.get(), E820_RESERVED);
    let mut expected = SetupHeader::read_from_prefix(&kernel[0x1f1..]).unwrap().0;
    expected.vid_mode = 0xffff.into();
    expected.type_of_loader = 0xff;
    expected.code32_start = 0x100_0000.into();
    expected.ramdisk_image = 0x120_0000.into();
    expected.ramdisk_size = 5000.into();
    expected.cmd_line_ptr = 0xa800.into();
    assert_eq!(params.hdr.as_bytes(), expected.as_bytes());
    // The sentinel and whatever else was in the first sectors are not copied.
    let rest = [&page[..0x70], &page[0x78..0x1e8], &page[0x1e9..0x1f1], &page[0x268..0x2d0]];
    assert!(rest.iter().all(|part| part.iter().all(|byte| *byte == 0)));
}

#[test]
fn the_loader_supplies_three_things() {
    let found = read(&wrap(&kernel(&header()), None, "root=/dev/vda ro").unwrap().bytes);
    let (map, map_parameters) = &found.areas[&MEMORY_MAP_GPA];
    assert_eq!((map.len(), map_parameters.as_slice()), (4096, &[("memory map", 0)][..]));
    let (madt, madt_parameters) = &found.areas[&MADT_GPA];
    assert_eq!((madt.len(), madt_parameters.as_slice()), (0x1_0000, &[("MADT", 0)][..]));
    // The file's text, a space, and the host's text behind it.
    let (line, line_parameters) = &found.areas[&0xa000];
    assert_eq!(&line[0x800..0x811], b"root=/dev/vda ro ");
    assert!(line[..0x800].iter().chain(&line[0x811..]).all(|byte| *byte == 0));
    assert_eq!(line_parameters, &[("command line", 0x811)]);
    assert_eq!(found.areas.len(), 3);
}

/// "64-bit Boot Protocol": flat segments by these selectors, RSI, interrupts
/// off, everything mapped where it is.
#[test]
fn the_context_is_the_protocols() {
    let found = read(&wrap(&kernel(&header()), None, "").unwrap().bytes);
    let context = found.context.as_ref().unwrap();
    assert_eq!((context.code_selector, context.data_selector), (0x10, 0x18));
    assert_eq!((context.code_attributes, context.data_attributes), (0xa09b, 0xc093));
    assert_eq!((context.rip, context.rsi), (STUB_GPA, BOOT_PARAMS_GPA));
    assert_eq!((context.rflags, context.rbp), (2, 0x100_0200));
    assert_eq!((context.cr0 & 0x8000_0001, context.cr4, context.efer), (0x8000_0001, 0x20, 0x500));
    assert_eq!(found.u64(context.gdtr_base + 0x10), 0x00af_9b00_0000_ffff);
    assert_eq!(found.u64(context.gdtr_base + 0x18), 0x00cf_9300_0000_ffff);
    assert_eq!(found.bytes(STUB_GPA, stub::CODE.len()), stub::CODE);
    for address in [0_u64, 0x100_0200, 0x7fff_ffff, 0xffff_f000] {
        let mut table = context.cr3;
        for shift in [39, 30, 21] {
            let entry = found.u64(table + (address >> shift & 0x1ff) * 8);
            assert_eq!(entry & 0x83, if shift == 21 { 0x83 } else { 3 });
            table = entry & 0x000f_ffff_ffff_f000;
        }
        assert_eq!(table, address & !0x1f_ffff);
    }
}

#[test]
fn tables_are_found() {
    let kernel = kernel(&header());
    let with = |acpi| linux(&Linux { kernel: &kernel, acpi, ..Linux::default() });
    let full = vec![7; ACPI.len as usize];
    let found = read(&with(&full).unwrap().bytes);
    assert_eq!(found.bytes(ACPI.start, full.len()), full);
    // Kernels before 5.0 look in the first kilobyte of the EBDA.
    let segment = found.bytes(0x40e, 2);
    assert_eq!(u64::from(u16::from_le_bytes(segment.try_into().unwrap())) << 4, ACPI.start);

    let longer = vec![7; full.len() + 1];
    assert_eq!(with(&longer), Err(LinuxError::Acpi { len: 0x1_0001 }));
    // Without tables nobody needs a MADT.
    let found = read(&with(&[]).unwrap().bytes);
    assert!(!found.areas.contains_key(&MADT_GPA));
    let params = BootParams::read_from_bytes(&found.bytes(BOOT_PARAMS_GPA, 4096)).unwrap();
    assert_eq!(params.acpi_rsdp_addr.get(), 0);
}

#[test]
fn kernels_go_where_they_can_run() {
    let load = |header: &SetupHeader| wrap(&kernel(header), None, "").map(|file| file.memory.start);
    let with = |change: fn(&mut SetupHeader)| {
        let mut header = header();
        change(&mut header);
        load(&header)
    };
    assert_eq!(with(|h| h.pref_address = 0x20_0000.into()), Ok(0x20_0000));
    // No wish, or one that cannot be: 16 MiB, aligned as the kernel wants.
    assert_eq!(with(|h| h.pref_address = 0.into()), Ok(0x100_0000));
    assert_eq!(with(|h| h.pref_address = u64::MAX.into()), Ok(0x100_0000));
    assert_eq!(with(|h| h.pref_address = 0x1_0000.into()), Ok(0x100_0000));
    assert_eq!(
        with(|h| {
            h.pref_address = (1_u64 << 40).into();
            h.kernel_alignment = 0x400_0000.into();
        }),
        Ok(0x400_0000)
    );
    assert_eq!(
        with(|h| {
            h.relocatable_kernel = 0;
            h.kernel_alignment = 0.into();
        }),
        Ok(0x100_0000)
    );
}

#[test]
fn what_cannot_be_started_is_refused() {
    let refused = |change: fn(&mut SetupHeader)| {
        let mut header = header();
        change(&mut header);
        let error = wrap(&kernel(&header), None, "").unwrap_err();
        assert!(!error.to_string().is_empty());
        error
    };
    assert_eq!(wrap(&[], None, ""), Err(LinuxError::NotBzImage));
    assert_eq!(wrap(&[0; 4096], None, ""), Err(LinuxError::NotBzImage));
    assert_eq!(refused(|h| h.header = *b"hdrS"), LinuxError::NotBzImage);
    assert_eq!(refused(|h| h.boot_flag = 0.into()), LinuxError::NotBzImage);
    assert_eq!(refused(|h| h.loadflags = 0), LinuxError::NotBzImage);
    assert_eq!(refused(|h| h.version = 0x20b.into()), LinuxError::TooOld { version: 0x20b });
    assert_eq!(refused(|h| h.xloadflags = 0xfffe.into()), LinuxError::No64BitEntry);
    assert_eq!(refused(|h| h.jump = [0xeb, 0x10]), LinuxError::Header { end: 0x212 });
    assert_eq!(refused(|h| h.jump = [0xeb, 0xff]), LinuxError::Header { end: 0x301 });
    assert!(matches!(refused(|h| h.init_size = 100.into()), LinuxError::InitSize { .. }));
    assert!(matches!(refused(|h| h.init_size = u32::MAX.into()), LinuxError::NoPlace { .. }));
    assert!(matches!(refused(|h| h.kernel_alignment = 3.into()), LinuxError::Alignment { .. }));
    assert!(matches!(
        refused(|h| {
            h.relocatable_kernel = 0;
            h.pref_address = 0x1000.into();
        }),
        LinuxError::NoPlace { relocatable: false, .. }
    ));
    assert!(matches!(
        refused(|h| {
            h.pref_address = 0.into();
            h.kernel_alignment = 0x8000_0000.into();
        }),
        LinuxError::NoPlace { .. }
    ));
    let whole = kernel(&header());
    let cut = wrap(&whole[..whole.len() - 100], None, "");
    assert!(matches!(cut, Err(LinuxError::CutShort { .. })));
    assert!(matches!(wrap(&whole[..1024], None, ""), Err(LinuxError::CutShort { .. })));
}

#[test]
fn ramdisks_and_command_lines_have_limits() {
    let mut header = header();
    header.initrd_addr_max = 0x120_0fff.into();
    let image = kernel(&header);
    assert!(wrap(&image, Some(&[1; 4096]), "").is_ok());
    let too_large = LinuxError::InitrdTooLarge { len: 4097, max: 4096 };
    assert_eq!(wrap(&image, Some(&[1; 4097]), ""), Err(too_large));
    assert_eq!(wrap(&image, Some(&[]), ""), Err(LinuxError::InitrdEmpty));

    let line = |len| wrap(&image, None, &"x".repeat(len));
    assert!(line(2047).is_ok());
    assert_eq!(line(2048), Err(LinuxError::CommandLineTooLong { len: 2048, max: 2047 }));
    assert_eq!(wrap(&image, None, "a\0b"), Err(LinuxError::CommandLine { byte: 0 }));
    assert_eq!(wrap(&image, None, "ä"), Err(LinuxError::CommandLine { byte: 0xc3 }));
    for size in [0, 1, 4094, 4095, u32::MAX] {
        header.cmdline_size = size.into();
        let image = kernel(&header);
        let max = size.min(4095) as usize;
        let text = "x".repeat(max);
        let found = read(&wrap(&image, None, &text).unwrap().bytes);
        let (area, parameters) = &found.areas[&0xa000];
        let params = BootParams::read_from_bytes(&found.bytes(BOOT_PARAMS_GPA, 4096)).unwrap();
        let at = (params.hdr.cmd_line_ptr.get() - 0xa000) as usize;
        assert_eq!(&area[at..at + max], text.as_bytes());
        // An empty text of the host's still fits, and ends it.
        assert_eq!(parameters, &[("command line", 4095)]);
        assert_eq!(area[4095], 0);
        let longer = wrap(&image, None, &"x".repeat(max + 1));
        assert!(matches!(longer, Err(LinuxError::CommandLineTooLong { .. })));
    }
}

/// Every line of the stub's listing: its bytes are the instruction beside it.
#[test]
fn the_listing_is_the_code() {
    let source = include_str!("../../core/src/write/wrap/linux/stub.rs");
    let listing: Vec<&str> = source
        .lines()
        .filter(|line| line.trim_start().starts_with("0x"))
        .filter_map(|line| Some(line.split_once("//")?.1.trim()))
        .collect();
    let mut formatter = IntelFormatter::new();
    let options = formatter.options_mut();
    options.set_hex_prefix("0x");
    options.set_hex_suffix("");
    options.set_uppercase_hex(false);
    options.set_small_hex_numbers_in_decimal(false);
    options.set_space_after_operand_separator(true);
    options.set_branch_leading_zeros(false);
    options.set_show_branch_size(false);
    let decoder = Decoder::with_ip(64, &stub::CODE, 0, DecoderOptions::NONE);
    let decoded: Vec<String> = decoder
        .into_iter()
        .map(|instruction| {
            let mut text = String::new();
            formatter.format(&instruction, &mut text);
            text
        })
        .collect();
    assert_eq!(decoded, listing);
}

fn hostile_header() -> impl Strategy<Value = SetupHeader> {
    let edits = proptest::collection::vec((0..size_of::<SetupHeader>(), any::<u8>()), 0..12);
    let numbers = (any::<u64>(), any::<u32>(), any::<u32>(), any::<u32>(), any::<u32>());
    let wild = (edits, proptest::option::of(numbers));
    wild.prop_map(|(edits, numbers)| {
        let mut header = header();
        if let Some((pref, init, alignment, initrd_max, line)) = numbers {
            header.pref_address = pref.into();
            header.init_size = init.into();
            header.kernel_alignment = (1_u32 << (alignment % 32)).into();
            header.initrd_addr_max = initrd_max.into();
            header.cmdline_size = line.into();
        }
        for (at, byte) in edits {
            header.as_mut_bytes()[at] = byte;
        }
        header
    })
}

proptest! {
    /// Whatever a header says: a sentence, or a file that is as large as what
    /// went in and asks for memory where a PC has it.
    #[test]
    fn headers_choose_no_memory(
        header in hostile_header(),
        initrd in proptest::option::of(1..20_000_usize),
        cut in 0..30_000_usize,
    ) {
        let mut kernel = image(&header, &[0x90; 9000]);
        kernel.truncate(kernel.len().min(40_000 - cut));
        let initrd = initrd.map(|len| vec![1; len]);
        match wrap(&kernel, initrd.as_deref(), "quiet") {
            Ok(LinuxFile { bytes, memory }) => {
                prop_assert!(bytes.len() < 150_000);
                prop_assert!(memory.start >= 1 << 20 && memory.end() <= 2 << 30);
                read(&bytes);
            }
            Err(error) => prop_assert!(!error.to_string().is_empty()),
        }
    }

    /// Bytes that are no kernel at all.
    #[test]
    fn arbitrary_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..3000)) {
        prop_assert_eq!(wrap(&bytes, None, "").is_ok(), false);
    }
}
