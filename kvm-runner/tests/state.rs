//! `state --json` has the shape that scripts rely on, and `--read` the bytes
//! that it tells of.

mod common;

use std::path::Path;

use common::binary::{self, folder, run, sample};
use igvm_core::x86::{Register, RegisterFile, RegisterValue};
use serde_json::{Map, Value};

fn state(file: &Path, more: &[&str]) -> Value {
    let arguments = [&["state", file.to_str().unwrap(), "--json"], more].concat();
    serde_json::from_str(&run(arguments).stdout_of(0)).unwrap()
}

/// The keys of an object, which must be these and may be the optional ones.
fn object<'a>(value: &'a Value, keys: &[&str], optional: &[&str]) -> &'a Map<String, Value> {
    let object = value.as_object().unwrap_or_else(|| panic!("no object: {value}"));
    for key in keys {
        assert!(object.contains_key(*key), "no {key}: {value}");
    }
    for key in object.keys() {
        let known = keys.contains(&key.as_str()) || optional.contains(&key.as_str());
        assert!(known, "{key} is not expected: {value}");
    }
    object
}

fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_else(|| panic!("no list: {value}"))
}

/// A number that can pass 2^53: a string in lower case without leading zeroes.
fn hex(value: &Value) -> u64 {
    let text = value.as_str().unwrap_or_else(|| panic!("no string: {value}"));
    let number = u64::from_str_radix(text.strip_prefix("0x").unwrap(), 16).unwrap();
    assert_eq!(text, format!("{number:#x}"));
    number
}

fn index(value: &Value) -> u64 {
    value.as_u64().unwrap_or_else(|| panic!("no number: {value}"))
}

fn is_processor(processor: &Value, at: u64) {
    let keys =
        ["vp_index", "mode", "mode_because", "start", "context_header", "registers", "origins"];
    let processor = object(processor, &keys, &[]);
    assert_eq!(index(&processor["vp_index"]), at);
    let modes = ["real", "protected16", "protected32", "compatibility", "long64"];
    assert!(modes.contains(&processor["mode"].as_str().unwrap()), "{processor:?}");
    assert!(["runs", "waits-for-sipi"].contains(&processor["start"].as_str().unwrap()));
    let names = Register::ALL.map(|register| register.name());
    let registers = object(&processor["registers"], &names, &[]);
    for (register, name) in Register::ALL.into_iter().zip(names) {
        let value = &registers[name];
        match RegisterFile::reset(true).get(register) {
            RegisterValue::Integer(_) => {
                hex(value);
            }
            RegisterValue::Segment(_) => {
                let segment = object(value, &["selector", "base", "limit", "attributes"], &[]);
                segment.values().for_each(|value| {
                    hex(value);
                });
                assert_eq!(hex(&segment["attributes"]) & 0xf00, 0, "the IGVM layout: {value}");
            }
            RegisterValue::Table(_) => {
                object(value, &["base", "limit"], &[]).values().for_each(|value| {
                    hex(value);
                });
            }
        }
    }
    for (name, origin) in processor["origins"].as_object().unwrap() {
        assert!(names.contains(&name.as_str()), "{name}");
        let origin = object(origin, &["header", "file_offset", "length"], &[]);
        assert_eq!(origin["header"], processor["context_header"]);
        hex(&origin["file_offset"]);
        // GS: selector, attributes, base and limit of the data segment, `gs_base`.
        assert!((1..=20).contains(&index(&origin["length"])));
    }
}

fn is_extent(extent: &Value) {
    let optional =
        ["file_offset", "parameter", "area", "last_header", "data_type", "unmeasured", "shared"];
    let extent = object(extent, &["gpa", "length", "source", "header"], &optional);
    let end = hex(&extent["gpa"]).checked_add(hex(&extent["length"]));
    assert!(end.is_some() && hex(&extent["length"]) > 0, "{extent:?}");
    index(&extent["header"]);
    let source = extent["source"].as_str().unwrap();
    assert!(["file", "zero", "parameter", "fixup", "untouched"].contains(&source), "{source}");
    assert_eq!(extent.contains_key("file_offset"), source == "file");
    assert_eq!(extent.contains_key("parameter"), source == "parameter");
}

fn is_state(state: &Value, processors: u64) {
    let keys = [
        "platform",
        "compatibility_mask",
        "processors",
        "memory",
        "guest_memory",
        "parameter_areas",
        "required_memory",
        "error_ranges",
        "regions",
        "overlaps",
        "problems",
        "problems_not_listed",
        "startable",
    ];
    let state = object(state, &keys, &[]);
    assert_eq!(list(&state["processors"]).len() as u64, processors);
    (0..).zip(list(&state["processors"])).for_each(|(at, processor)| is_processor(processor, at));
    let memory = list(&state["memory"]);
    memory.iter().for_each(is_extent);
    let ends = memory.iter().map(|extent| hex(&extent["gpa"]) + hex(&extent["length"]));
    let starts = memory.iter().skip(1).map(|extent| hex(&extent["gpa"]));
    assert!(ends.zip(starts).all(|(end, start)| end <= start), "not by address: {memory:?}");
    for range in list(&state["guest_memory"]) {
        object(range, &["gpa", "length"], &[]).values().for_each(|value| {
            hex(value);
        });
    }
    for area in list(&state["parameter_areas"]) {
        let area = object(area, &["index", "length", "header", "inserted", "content"], &[]);
        list(&area["content"]).iter().for_each(is_extent);
    }
    for extent in [&state["required_memory"], &state["error_ranges"]].into_iter().flat_map(list) {
        is_extent(extent);
        assert_eq!(extent["source"], "untouched");
    }
    for overlap in list(&state["overlaps"]) {
        object(overlap, &["gpa", "length", "earlier", "later"], &["area"]);
    }
    for problem in list(&state["problems"]) {
        object(problem, &["header", "file_offset", "sentence", "fatal"], &[]);
    }
    assert!(state["startable"].is_boolean());
}

#[test]
fn every_sample_has_the_documented_shape() {
    let folder = folder("shape");
    for sample in igvm_samples::all() {
        let file = binary::write(&folder, sample.name, &(sample.build)());
        let state = state(&file, &["--cpus=3"]);
        is_state(&state, 3);
        assert_eq!(state["platform"], "native");
        assert_eq!(state["startable"], true, "{}", sample.name);
    }
}

#[test]
fn a_moved_guest_has_the_documented_shape() {
    let file = binary::write(&folder("moved"), "moved.igvm", &sample("relocatable"));
    let state = state(&file, &["--relocate=0x200000=0x40000000"]);
    is_state(&state, 1);
    assert_eq!(hex(&state["processors"][0]["registers"]["rip"]), 0x4000_1000);
    assert!(list(&state["memory"]).iter().any(|extent| extent["source"] == "fixup"));
    assert_eq!(hex(&state["regions"][0]["loaded_at"]), 0x4000_0000);
}

/// The example of the documentation, value by value.
#[test]
fn values_are_those_of_the_file() {
    let bytes = sample("hello-long64");
    let file = binary::write(&folder("values"), "long64.igvm", &bytes);
    let state = state(&file, &[]);
    let processor = &state["processors"][0];
    assert_eq!(processor["mode"], "long64");
    let registers = &processor["registers"];
    assert_eq!(registers["rip"], "0x10000");
    assert_eq!(registers["cr3"], "0x1000");
    assert_eq!(registers["cs"]["attributes"], "0xa09b");
    assert_eq!(registers["cs"]["limit"], "0xffffffff");
    // Where an origin points stands the value.
    for (name, origin) in processor["origins"].as_object().unwrap() {
        let at = hex(&origin["file_offset"]) as usize;
        let raw = &bytes[at..at + index(&origin["length"]) as usize];
        if let Some(value) = registers[name].as_str() {
            let mut word = [0; 8];
            word[..raw.len()].copy_from_slice(raw);
            assert_eq!(value, format!("{:#x}", u64::from_le_bytes(word)), "{name}");
        }
    }
}

/// Guest memory put together from what `--json` tells and from the file.
fn expected(state: &Value, file: &[u8], start: u64, len: usize) -> Vec<u8> {
    let mut memory = vec![0; len];
    for extent in list(&state["memory"]) {
        let (gpa, length) = (hex(&extent["gpa"]), hex(&extent["length"]));
        assert!(matches!(extent["source"].as_str(), Some("file" | "zero")), "{extent}");
        let Some(offset) = extent.get("file_offset").map(hex) else { continue };
        for at in 0..length {
            if let Some(byte) =
                (gpa + at).checked_sub(start).and_then(|at| memory.get_mut(at as usize))
            {
                *byte = file[(offset + at) as usize];
            }
        }
    }
    memory
}

#[test]
fn read_gives_the_bytes_of_guest_memory() {
    let folder = folder("bytes");
    let out = folder.join("out");
    for name in ["hello-long64", "overlap", "hello-real16"] {
        let bytes = sample(name);
        let file = binary::write(&folder, name, &bytes);
        let state = state(&file, &[]);
        // All of it; the middle of pages and the gaps between; one byte.
        for (start, len) in [(0, 0x4_0000), (0xfff, 0xf123), (0x1_0001, 1), (0x80_0000, 0x1000)] {
            let wanted = expected(&state, &bytes, start, len);
            let read = format!("--read={start:#x}:{len:#x}");
            let file = file.to_str().unwrap();
            run(["state", file, &read, "--out", out.to_str().unwrap()]).stdout_of(0);
            assert!(std::fs::read(&out).unwrap() == wanted, "{name} {read} --out");
            let piped = run(["state", file, &read]);
            assert_eq!(piped.code, Some(0), "{}", piped.stderr);
            assert!(piped.stdout == wanted, "{name} {read}");
        }
    }
}

/// Parameters are in guest memory, too, as the host makes them.
#[test]
fn read_gives_parameters() {
    let folder = folder("parameter-bytes");
    let file = binary::write(&folder, "parameters.igvm", &sample("parameters"));
    let read = |range: &str| {
        let range = format!("--read={range}");
        let machine = ["--cpus=7", "--append=one two", &range];
        run(["state", file.to_str().unwrap()].iter().chain(&machine)).stdout
    };
    assert_eq!(read("0x20000:4"), 7_u32.to_le_bytes());
    assert_eq!(read("0x21000:10"), b"one two\0\0\0");
    assert_eq!(read("0x22000:20"), b"memory map at +0x100");
    assert_eq!(read("0x24000:4"), b"APIC");
    assert_eq!(read("0x30000:4"), 0xd00d_feed_u32.to_be_bytes());
}
