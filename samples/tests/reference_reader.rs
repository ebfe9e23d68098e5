//! The samples as the `igvm` crate reads them.

use igvm::registers::X86Register;
use igvm::{Error, IgvmDirectiveHeader as Directive, IgvmFile};
use igvm_core::file::IgvmFile as OwnFile;

fn build(name: &str) -> Vec<u8> {
    (igvm_samples::by_name(name).unwrap().build)()
}

fn read(name: &str) -> IgvmFile {
    IgvmFile::new_from_binary(&build(name), None).unwrap()
}

/// Two samples are right by the specification and refused by the crate.
#[test]
fn all_but_two_are_accepted() {
    for sample in igvm_samples::all() {
        let result = IgvmFile::new_from_binary(&(sample.build)(), None);
        match sample.name {
            // It looks for the context of a relocated processor among VBS
            // contexts only.
            "relocatable" => assert!(matches!(result, Err(Error::NoMatchingVpContext))),
            // It knows no optional bit and no version string.
            "optional-headers" => {
                assert!(matches!(
                    result,
                    Err(Error::InvalidBinaryPlatformHeader(_))
                        | Err(Error::InvalidBinaryVariableHeaderSection)
                ));
            }
            name => assert!(result.is_ok(), "{name}: {:?}", result.err()),
        }
    }
}

#[test]
fn own_reader_agrees_with_the_fixed_header() {
    for sample in igvm_samples::all() {
        let bytes = (sample.build)();
        let file = OwnFile::parse(&bytes).unwrap();
        assert_eq!(u64::from(file.fixed().total_file_size()), bytes.len() as u64);
        assert_eq!(file.compute_checksum(), Some(file.fixed().checksum()), "{}", sample.name);
        let version = if sample.name == "version1" { 1 } else { 2 };
        assert_eq!(file.fixed().version(), version);
        assert!(file.headers().all(|header| header.raw.padding.iter().all(|byte| *byte == 0)));
    }
}

/// The native context of `platforms` is what its save areas and its register
/// list say, by the crate's own structures.
#[test]
fn the_context_formats_say_the_same() {
    let file = read("platforms");
    let native = file
        .directives()
        .iter()
        .find_map(|directive| match directive {
            Directive::X64NativeVpContext { context, .. } => Some(context),
            _ => None,
        })
        .unwrap();

    let mut save_areas = 0;
    let mut listed = 0;
    for directive in file.directives() {
        match directive {
            Directive::SnpVpContext { vmsa, compatibility_mask, .. } => {
                save_areas += 1;
                assert_eq!((vmsa.rip, vmsa.rsp), (native.rip, native.rsp));
                assert_eq!((vmsa.cr0, vmsa.cr3, vmsa.cr4), (native.cr0, native.cr3, native.cr4));
                assert_eq!((vmsa.efer, vmsa.rflags), (native.efer | 1 << 12, native.rflags));
                assert_eq!(vmsa.cs.selector, native.code_selector);
                assert_eq!((vmsa.cs.attrib, vmsa.cs.limit), (0xa9b, native.code_limit));
                for data in [vmsa.ds, vmsa.es, vmsa.ss, vmsa.fs, vmsa.gs] {
                    assert_eq!((data.selector, data.attrib), (native.data_selector, 0xc93));
                    assert_eq!((data.limit, data.base), (native.data_limit, 0));
                }
                assert_eq!((vmsa.gdtr.base, vmsa.gdtr.limit), (native.gdtr_base, 31));
                assert_eq!((vmsa.tr.attrib, vmsa.ldtr.attrib), (0x8b, 0x82));
                assert_eq!(vmsa.sev_features.snp(), *compatibility_mask == 2);
                assert_eq!((vmsa.xcr0, vmsa.mxcsr, vmsa.x87_fcw), (1, 0x1f80, 0x40));
                assert_eq!((vmsa.dr6, vmsa.dr7), (0xffff_0ff0, 0x400));
                assert_eq!((vmsa.pat, vmsa.rdx), (0x0007_0406_0007_0406, 0x600));
            }
            Directive::X64VbsVpContext { registers, .. } => {
                for register in registers {
                    listed += 1;
                    match *register {
                        X86Register::Rip(v) => assert_eq!(v, native.rip),
                        X86Register::Rsp(v) => assert_eq!(v, native.rsp),
                        X86Register::Rflags(v) => assert_eq!(v, native.rflags),
                        X86Register::Cr0(v) => assert_eq!(v, native.cr0),
                        X86Register::Cr3(v) => assert_eq!(v, native.cr3),
                        X86Register::Cr4(v) => assert_eq!(v, native.cr4),
                        X86Register::Efer(v) => assert_eq!(v, native.efer),
                        X86Register::Pat(v) => assert_eq!(v, 0x0007_0406_0007_0406),
                        X86Register::Cs(v) => {
                            assert_eq!(v.selector, native.code_selector);
                            assert_eq!(v.attributes, native.code_attributes);
                            assert_eq!((v.limit, v.base), (native.code_limit, 0));
                        }
                        X86Register::Ds(v)
                        | X86Register::Es(v)
                        | X86Register::Ss(v)
                        | X86Register::Fs(v)
                        | X86Register::Gs(v) => {
                            assert_eq!(v.selector, native.data_selector);
                            assert_eq!(v.attributes, native.data_attributes);
                            assert_eq!((v.limit, v.base), (native.data_limit, 0));
                        }
                        X86Register::Tr(v) => assert_eq!((v.attributes, v.limit), (0x8b, 0xffff)),
                        X86Register::Gdtr(v) => {
                            assert_eq!((v.base, v.limit), (native.gdtr_base, native.gdtr_limit));
                        }
                        X86Register::Idtr(v) => {
                            assert_eq!((v.base, v.limit), (native.idtr_base, native.idtr_limit));
                        }
                        other => panic!("not in the sample: {other:?}"),
                    }
                }
            }
            _ => {}
        }
    }
    assert_eq!((save_areas, listed), (2, 17));
}

/// The save area of `version1` is the reset state.
#[test]
fn version1_starts_both_platforms_from_reset() {
    let file = read("version1");
    let vmsa = file
        .directives()
        .iter()
        .find_map(|directive| match directive {
            Directive::SnpVpContext { vmsa, .. } => Some(vmsa),
            _ => None,
        })
        .unwrap();
    assert_eq!((vmsa.cs.selector, vmsa.cs.base, vmsa.rip), (0xf000, 0xffff_0000, 0xfff0));
    assert_eq!((vmsa.cs.attrib, vmsa.ss.attrib, vmsa.tr.attrib), (0x9b, 0x93, 0x8b));
    assert_eq!((vmsa.cr0, vmsa.efer), (0x6000_0010, 0x1000));
}

/// The crate takes the first 4096 of a 2 MiB page's bytes for all of them.
#[test]
fn page_2m_is_cut_short_by_the_crate() {
    let file = read("page-2m");
    let large = file
        .directives()
        .iter()
        .find_map(|directive| match directive {
            Directive::PageData { flags, data, .. } if flags.is_2mb_page() => Some(data),
            _ => None,
        })
        .unwrap();
    assert_eq!(large.len(), 4096);
    assert!(large.iter().all(|byte| *byte == 0));
}

#[test]
fn parameters_has_every_kind() {
    use igvm_core::wire::{ParameterKind, Value};
    let bytes = build("parameters");
    let file = OwnFile::parse(&bytes).unwrap();
    for wanted in ParameterKind::ALL {
        let found =
            |value: &Value<'_>| matches!(value, Value::Parameter(kind, _) if *kind == wanted);
        assert_eq!(file.headers().filter(|header| found(&header.value())).count(), 1, "{wanted}");
    }
}
