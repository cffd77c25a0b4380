//! Values do not stay behind in the memory of a process that has closed its store. Alone in its file: it
//! reads all memory of its process, where other tests would hold what it looks for.

#![expect(clippy::unwrap_used, clippy::indexing_slicing, reason = "a test may stop")]

mod support;

use std::collections::BTreeMap;
use std::fs::File;
use std::hint::black_box;
use std::io::Read;
use std::os::unix::fs::FileExt;
use std::time::Instant;

use strongroom_model::SecretBytes;
use strongroom_store::audit::Circumstances;
use strongroom_store::value::Value;
use strongroom_store::vault::*;
use zeroize::Zeroizing;

use support::*;

const MARKER: usize = 48;
const REPEATS: usize = 800;
const CHUNK: usize = 1 << 20;

/// What is looked for, never whole in memory but in what is under test: it is held masked.
struct Marker([u8; MARKER]);

impl Marker {
    const MASK: u8 = 0x5a;

    fn new() -> Self {
        let mut masked = [0; MARKER];
        getrandom::fill(&mut masked).unwrap();
        Self(masked)
    }

    /// The marker many times over: freed memory of that size is not wholly used anew within a test.
    fn value(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(REPEATS * MARKER);
        for _ in 0..REPEATS {
            // The optimiser would keep the bare marker in registers, and spill it to the stack.
            bytes.extend(self.0.iter().map(|byte| byte ^ black_box(Self::MASK)));
        }
        bytes
    }

    /// Where a third of it stands: a copy that is half overwritten counts.
    fn found_in(&self, bytes: &[u8]) -> bool {
        self.0.chunks_exact(16).any(|part| {
            bytes.windows(16).any(|window| {
                window
                    .iter()
                    .zip(part)
                    .all(|(byte, masked)| byte ^ Self::MASK == *masked)
            })
        })
    }
}

/// Reads the process's memory. Its buffers are made before the value is and kept: allocated later, they would
/// come to lie where the value was, and wipe what they look for.
struct Scanner {
    marker: Marker,
    chunk: Zeroizing<Vec<u8>>,
    maps: String,
    places: Vec<String>,
}

impl Scanner {
    fn new(marker: Marker) -> Self {
        Self {
            marker,
            chunk: Zeroizing::new(vec![0; CHUNK + 16]),
            maps: String::with_capacity(1 << 18),
            places: Vec::with_capacity(64),
        }
    }

    /// The mappings that hold the marker.
    fn places(&mut self) -> &[String] {
        self.places.clear();
        self.maps.clear();
        File::open("/proc/self/maps")
            .unwrap()
            .read_to_string(&mut self.maps)
            .unwrap();
        let memory = File::open("/proc/self/mem").unwrap();
        for mapping in self.maps.lines() {
            let mut fields = mapping.split_whitespace();
            let (start, end) = fields.next().unwrap().split_once('-').unwrap();
            let [start, end] = [start, end].map(|text| u64::from_str_radix(text, 16).unwrap());
            if !fields.next().unwrap().starts_with("rw") {
                continue;
            }
            for from in (start..end).step_by(CHUNK) {
                let size = usize::try_from(end - from).unwrap().min(CHUNK + 16);
                let part = &mut self.chunk[..size];
                if memory.read_exact_at(part, from).is_ok() && self.marker.found_in(part) {
                    self.places.push(format!("{from:x} of {mapping}"));
                }
            }
            self.chunk.fill(0);
        }
        &self.places
    }
}

#[test]
fn no_value_stays_behind() {
    let mut scanner = Scanner::new(Marker::new());
    let f = Fixture::new();
    let command = CreateSecret {
        value: Value::from_keys(BTreeMap::from([(
            "value".parse().unwrap(),
            SecretBytes::new(scanner.marker.value()),
        )]))
        .unwrap(),
        ..new_secret(f.namespace, "checkout-db", "x")
    };
    assert_ne!(scanner.places(), [""; 0], "a value that is there is found");
    let secret = f.store.run(command, meta()).unwrap().secret.id;
    let read = GetValue::current(secret);
    for _ in 0..3 {
        assert_eq!(f.store.value(&read, &meta()).unwrap().value.keys().len(), 1);
    }
    // Read where it was opened.
    let read = GetValue {
        version: Some("v1".parse().unwrap()),
        ..read
    };
    for _ in 0..3 {
        let outside = Meta {
            asked: Some(Box::new(ExternalRequest {
                arrived: Instant::now(),
                circumstances: Circumstances::default(),
            })),
            ..meta()
        };
        let keys = f
            .store
            .with_value(&read, outside, |opened| opened.value.keys().len());
        assert_eq!(keys.unwrap(), 1);
    }
    assert_eq!(scanner.places(), [""; 0], "with the store open");
    f.store.backup(&mut Vec::new()).unwrap();
    let f = f.reopen();
    f.store.close();
    drop(f);
    assert_eq!(scanner.places(), [""; 0], "with the store closed");
}
