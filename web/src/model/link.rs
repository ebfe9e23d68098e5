//! The form of a focus in the address bar.
//!
//! Version 1 is a list of `key=value`, joined by `&` and percent-encoded:
//! `#v=1&sample=hello-long64&pane=processors&platform=native&register=0.rip`.
//! The host has the names that `kvm-runner` gives it (`cpus`, `memory`,
//! `append`, `required-memory`, `relocate`); what is compared stands behind
//! `with-sample` or `with-file` and `with-platform`; `vp` is the processor that
//! is looked through, `at` and `bits` say where the code begins and how it is
//! read, `zoom` is the part of memory on the picture.
//! A link without `v` is of version 1. Keys that are not known and values that
//! are not understood are passed over, so that a link from a newer page shows
//! at least the file.

use std::fmt;

use igvm_analysis::host::HostDescription;
use igvm_core::defs::IgvmPlatformType;
use igvm_core::load::{Relocation, RequiredMemoryPolicy};
use igvm_core::platform::{platform_by_name, platform_name};
use igvm_core::span::Span;
use igvm_core::x86::Register;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};

use super::focus::{CodeBits, Focus, Other, Pane, Selection, Subject};

/// The version of links that this page writes.
const VERSION: &str = "1";

/// Bytes of a fragment that are looked at.
const FRAGMENT_MAX: usize = 64 << 10;

/// What stands in a value as it is.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// A link that this page cannot follow.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnknownVersion(String);

impl fmt::Display for UnknownVersion {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "this link is of version {}, and this page understands version {VERSION}; reload the \
             page, or choose a file",
            self.0.escape_debug()
        )
    }
}

impl Focus {
    /// Reads a fragment, with or without its `#`.
    ///
    /// # Errors
    /// Only when it says that it is of another version.
    pub fn parse(fragment: &str) -> Result<Self, UnknownVersion> {
        let fragment = fragment.strip_prefix('#').unwrap_or(fragment);
        let cut =
            (0..=fragment.len().min(FRAGMENT_MAX)).rev().find(|at| fragment.is_char_boundary(*at));
        let mut focus = Self::default();
        for part in fragment[..cut.unwrap_or(0)].split('&') {
            let (key, value) = part.split_once('=').unwrap_or((part, ""));
            let value = percent_decode_str(value).decode_utf8_lossy();
            match key {
                "v" if value != VERSION => return Err(UnknownVersion(value.into_owned())),
                "sample" if is_sample_name(&value) => {
                    focus.subject = Some(Subject::Sample(value.into_owned()));
                }
                "file" if !value.is_empty() => {
                    focus.subject = Some(Subject::File(value.into_owned()));
                }
                "pane" => {
                    let named = Pane::ALL.into_iter().find(|pane| pane.name() == value);
                    focus.pane = named.unwrap_or_default();
                }
                "platform" => focus.platform = platform(&value),
                "with-sample" if is_sample_name(&value) => {
                    focus.with = Some(Other::new(Subject::Sample(value.into_owned())));
                }
                "with-file" if !value.is_empty() => {
                    focus.with = Some(Other::new(Subject::File(value.into_owned())));
                }
                "with-platform" => {
                    if let Some(other) = &mut focus.with {
                        other.platform = platform(&value);
                    }
                }
                "vp" => focus.processor = value.parse().unwrap_or(0),
                "at" => focus.code_at = hex(&value),
                "zoom" => focus.zoom = zoom(&value),
                "bits" => focus.code_bits = value.parse().ok().and_then(CodeBits::by_number),
                _ if read_host(&mut focus.host, key, &value) => {}
                _ => focus.selection = selection(key, &value).or(focus.selection),
            }
        }
        Ok(focus)
    }

    /// The link to this focus, with `#`.
    pub fn href(&self) -> String {
        let Some(subject) = &self.subject else { return "#".to_owned() };
        let escaped = |text| utf8_percent_encode(text, ESCAPED);
        let mut text = match subject {
            Subject::Sample(name) => format!("#v={VERSION}&sample={}", escaped(name)),
            Subject::File(name) => format!("#v={VERSION}&file={}", escaped(name)),
        };
        text += &format!("&pane={}", self.pane.name());
        if let Some(platform) = self.platform {
            text += &format!("&platform={}", in_link(platform));
        }
        text += &host_in_link(&self.host);
        if let Some(Other { subject, platform }) = &self.with {
            text += &match subject {
                Subject::Sample(name) => format!("&with-sample={}", escaped(name)),
                Subject::File(name) => format!("&with-file={}", escaped(name)),
            };
            if let Some(platform) = platform {
                text += &format!("&with-platform={}", in_link(*platform));
            }
        }
        if self.processor != 0 {
            text += &format!("&vp={}", self.processor);
        }
        if let Some(at) = self.code_at {
            text += &format!("&at={at:#x}");
        }
        if let Some(bits) = self.code_bits {
            text += &format!("&bits={}", bits.number());
        }
        if let Some(zoom) = self.zoom {
            text += &format!("&zoom={:#x}-{:#x}", zoom.start, zoom.end());
        }
        if let Some(selection) = self.selection {
            text += &match selection {
                Selection::Header(index) => format!("&header={index}"),
                Selection::Register(vp_index, register) => {
                    format!("&register={vp_index}.{register}")
                }
                Selection::Guest(gpa) => format!("&guest={gpa:#x}"),
                Selection::File(offset) => format!("&file-offset={offset:#x}"),
                Selection::Linear(linear) => format!("&linear={linear:#x}"),
            };
        }
        text
    }
}

fn in_link(platform: IgvmPlatformType) -> String {
    platform_name(platform).map_or_else(|| format!("{:#x}", platform.0), str::to_owned)
}

/// Takes one thing about the host; false if the key is about something else.
fn read_host(host: &mut HostDescription, key: &str, value: &str) -> bool {
    match key {
        "cpus" => host.processors = value.parse().unwrap_or(host.processors),
        "memory" => host.memory = hex(value).unwrap_or(host.memory),
        "append" => value.clone_into(&mut host.command_line),
        "required-memory" if value == "fail" => host.required_memory = RequiredMemoryPolicy::Fail,
        "relocate" => host.relocations.extend(relocation(value)),
        _ => return false,
    }
    true
}

/// What a link says about the host: only what is not as usual.
fn host_in_link(host: &HostDescription) -> String {
    let usual = HostDescription::default();
    let mut text = String::new();
    if host.processors != usual.processors {
        text += &format!("&cpus={}", host.processors);
    }
    if host.memory != usual.memory {
        text += &format!("&memory={:#x}", host.memory);
    }
    if !host.command_line.is_empty() {
        text += &format!("&append={}", utf8_percent_encode(&host.command_line, ESCAPED));
    }
    if host.required_memory == RequiredMemoryPolicy::Fail {
        text += "&required-memory=fail";
    }
    for Relocation { from, to } in &host.relocations {
        text += &format!("&relocate={from:#x}-{to:#x}");
    }
    text
}

fn relocation(text: &str) -> Option<Relocation> {
    let (from, to) = text.split_once('-')?;
    Some(Relocation { from: hex(from)?, to: hex(to)? })
}

/// A part of memory, by its first address and the one behind it.
fn zoom(text: &str) -> Option<Span> {
    let (start, end) = text.split_once('-')?;
    Some(Span::between(hex(start)?, hex(end)?)).filter(|span| !span.is_empty())
}

fn hex(text: &str) -> Option<u64> {
    u64::from_str_radix(text.strip_prefix("0x")?, 16).ok()
}

/// Samples are fetched by their names, so these are plain.
fn is_sample_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|c| c.is_ascii_alphanumeric() || c == b'-')
}

fn platform(text: &str) -> Option<IgvmPlatformType> {
    platform_by_name(text).or_else(|| {
        let number = text.strip_prefix("0x")?;
        u8::from_str_radix(number, 16).ok().map(IgvmPlatformType)
    })
}

fn selection(key: &str, value: &str) -> Option<Selection> {
    match key {
        "header" => value.parse().ok().map(Selection::Header),
        "register" => {
            let (vp_index, name) = value.split_once('.')?;
            Some(Selection::Register(vp_index.parse().ok()?, Register::by_name(name)?))
        }
        "guest" => hex(value).map(Selection::Guest),
        "file-offset" => hex(value).map(Selection::File),
        "linear" => hex(value).map(Selection::Linear),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn subjects() -> impl Strategy<Value = Subject> {
        prop_oneof![
            "[a-zA-Z0-9-]{1,40}".prop_map(Subject::Sample),
            ".{1,80}".prop_map(Subject::File),
        ]
    }

    fn selections() -> impl Strategy<Value = Selection> {
        let register = (0..Register::ALL.len()).prop_map(|at| Register::ALL[at]);
        prop_oneof![
            any::<u32>().prop_map(Selection::Header),
            (any::<u32>(), register).prop_map(|(vp, name)| Selection::Register(vp, name)),
            any::<u64>().prop_map(Selection::Guest),
            any::<u64>().prop_map(Selection::File),
            any::<u64>().prop_map(Selection::Linear),
        ]
    }

    prop_compose! {
        fn others()(
            subject in subjects(),
            platform in proptest::option::of(any::<u8>().prop_map(IgvmPlatformType)),
        ) -> Other {
            Other { subject, platform }
        }
    }

    prop_compose! {
        fn hosts()(
            (processors, memory, fails) in (any::<u32>(), any::<u64>(), any::<bool>()),
            command_line in ".{0,80}",
            moves in prop::collection::vec((any::<u64>(), any::<u64>()), 0..3),
        ) -> HostDescription {
            HostDescription {
                processors,
                memory,
                command_line,
                required_memory: match fails {
                    true => RequiredMemoryPolicy::Fail,
                    false => RequiredMemoryPolicy::Create,
                },
                relocations: moves.into_iter().map(|(from, to)| Relocation { from, to }).collect(),
            }
        }
    }

    prop_compose! {
        fn focuses()(
            subject in subjects(),
            pane in 0..Pane::ALL.len(),
            platform in proptest::option::of(any::<u8>().prop_map(IgvmPlatformType)),
            selection in proptest::option::of(selections()),
            host in prop_oneof![Just(HostDescription::default()), hosts()],
            with in proptest::option::of(others()),
            processor in prop_oneof![Just(0), any::<u32>()],
            code_at in proptest::option::of(any::<u64>()),
            code_bits in proptest::option::of((0..CodeBits::ALL.len()).prop_map(|at| CodeBits::ALL[at])),
            zoom in proptest::option::of((any::<u64>(), any::<u32>())),
        ) -> Focus {
            let zoom = zoom.map(|(start, len)| Span::between(start >> 1, (start >> 1) + 1 + u64::from(len)));
            let (subject, pane) = (Some(subject), Pane::ALL[pane]);
            Focus { subject, pane, platform, selection, host, with, processor, code_at, code_bits, zoom }
        }
    }

    proptest! {
        #[test]
        fn a_focus_survives_the_address_bar(focus in focuses()) {
            let href = focus.href();
            prop_assert!(href.is_ascii() && !href.contains([' ', '"', '<', '%']) || href.contains('%'));
            prop_assert_eq!(Focus::parse(&href), Ok(focus));
        }

        #[test]
        fn any_fragment_gives_a_focus_that_is_stable(fragment in "\\PC{0,200}|[#&=%a-z0-9.]{0,200}") {
            if let Ok(focus) = Focus::parse(&fragment)
                && focus.subject.is_some()
            {
                prop_assert_eq!(Focus::parse(&focus.href()), Ok(focus));
            }
        }
    }

    #[test]
    fn the_form_of_version_1_stays() {
        let focus = Focus {
            subject: Some(Subject::Sample("hello-long64".into())),
            pane: Pane::Processors,
            platform: Some(IgvmPlatformType::SEV_SNP),
            selection: Some(Selection::Register(0, Register::Rip)),
            ..Focus::default()
        };
        let href = "#v=1&sample=hello-long64&pane=processors&platform=sev-snp&register=0.rip";
        assert_eq!(focus.href(), href);
        assert_eq!(Focus::parse(href), Ok(focus.clone()));
        let host = HostDescription {
            processors: 4,
            memory: 8 << 30,
            command_line: "quiet a=b".into(),
            required_memory: RequiredMemoryPolicy::Fail,
            relocations: vec![Relocation { from: 0x10_0000, to: 0x4000_0000 }],
        };
        let other = Other {
            platform: Some(IgvmPlatformType::NATIVE),
            ..Other::new(Subject::File("yesterday's.igvm".into()))
        };
        let focus = focus.for_host(host).compared_with(other);
        let href = "#v=1&sample=hello-long64&pane=compare&platform=sev-snp&cpus=4\
                    &memory=0x200000000&append=quiet%20a%3Db&required-memory=fail\
                    &relocate=0x100000-0x40000000&with-file=yesterday%27s.igvm\
                    &with-platform=native&register=0.rip";
        assert_eq!(focus.href(), href);
        assert_eq!(Focus::parse(href), Ok(focus));
    }

    #[test]
    fn what_is_not_understood_is_passed_over() {
        let focus = Focus::parse("#sample=a&pane=sideways&header=-1&guest=12&colour=red").unwrap();
        assert_eq!(focus.subject, Some(Subject::Sample("a".into())));
        assert_eq!((focus.pane, focus.selection), (Pane::Overview, None));
        // A name that would leave the folder of the samples.
        assert_eq!(Focus::parse("#sample=..%2Fsecret").unwrap().subject, None);
        assert_eq!(Focus::parse(&"é".repeat(5000)).unwrap(), Focus::default());
        let error = Focus::parse("#v=2&sample=a").unwrap_err().to_string();
        assert!(error.starts_with("this link is of version 2,"), "{error}");
    }
}
