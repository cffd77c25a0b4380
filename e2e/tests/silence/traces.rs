//! What a value looks like where it does not belong: as it is, in every form that code gives bytes by
//! accident, and as its hash.

use std::collections::BTreeSet;

use aho_corasick::AhoCorasick;
use data_encoding::{BASE64, BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use sha2::{Digest, Sha256};

/// Shorter forms stand somewhere by chance.
const SHORTEST: usize = 12;

/// Looks for things in all their forms.
pub(crate) struct Traces {
    forms: AhoCorasick,
    names: Vec<String>,
}

impl Traces {
    /// Of these things, each with a name for what is told.
    pub(crate) fn new(things: &[(&str, String)]) -> Self {
        let (mut all, mut names) = (Vec::new(), Vec::new());
        for (name, thing) in things {
            for (form, bytes) in forms(thing) {
                assert!(bytes.len() >= SHORTEST, "{name} is too short to be looked for");
                all.push(bytes);
                names.push(format!("{name} {form}"));
            }
        }
        Self {
            forms: AhoCorasick::new(all).unwrap(),
            names,
        }
    }

    /// What is in these bytes.
    pub(crate) fn within(&self, bytes: &[u8]) -> BTreeSet<&str> {
        let found = self.forms.find_iter(bytes);
        found.map(|found| self.names[found.pattern()].as_str()).collect()
    }
}

fn forms(thing: &str) -> Vec<(&'static str, Vec<u8>)> {
    let bytes = thing.as_bytes();
    let hash = Sha256::digest(bytes);
    let numbers = |separator: &str| {
        let numbers: Vec<String> = bytes.iter().map(u8::to_string).collect();
        numbers.join(separator).into_bytes()
    };
    let wide = |unit: fn(u16) -> [u8; 2]| thing.encode_utf16().flat_map(unit).collect();
    let mut forms = vec![
        ("as it is", bytes.to_vec()),
        ("in hex", HEXLOWER.encode(bytes).into_bytes()),
        ("in hex", HEXUPPER.encode(bytes).into_bytes()),
        ("in UTF-16", wide(u16::to_le_bytes)),
        ("in UTF-16", wide(u16::to_be_bytes)),
        ("as a list of bytes", numbers(", ")),
        ("as a list of bytes", numbers(",")),
        ("hashed", hash.to_vec()),
        ("hashed", HEXLOWER.encode(&hash).into_bytes()),
        ("hashed", BASE64.encode(&hash).into_bytes()),
    ];
    // Base64 at each of its three offsets, without the characters that the neighbours make too.
    for offset in 0..3 {
        let padded = [&vec![0; offset], bytes].concat();
        let (from, to) = ((offset * 8).div_ceil(6), padded.len() * 8 / 6);
        for (form, encoding) in [("in base64", BASE64_NOPAD), ("in base64url", BASE64URL_NOPAD)] {
            forms.push((form, encoding.encode(&padded).as_bytes()[from..to].to_vec()));
        }
    }
    forms
}

#[test]
fn a_thing_is_found_in_each_of_its_forms() {
    let thing = "v4lue~with?every>6bit";
    let traces = Traces::new(&[("thing", thing.to_owned())]);
    let found = |bytes: &[u8]| traces.within(bytes).into_iter().collect::<Vec<_>>().join(" and ");
    for (before, after) in [("", ""), ("x", "y"), ("xy", "zz"), ("xyz", "")] {
        let text = format!("{before}{thing}{after}");
        assert_eq!(found(text.as_bytes()), "thing as it is");
        // Both alphabets write some texts alike.
        for encoding in [BASE64, BASE64URL_NOPAD] {
            let encoded = encoding.encode(text.as_bytes());
            assert!(
                found(encoded.as_bytes()).starts_with("thing in base64"),
                "{encoded}"
            );
        }
        assert_eq!(found(HEXLOWER.encode(text.as_bytes()).as_bytes()), "thing in hex");
        assert_eq!(
            found(format!("{:?}", text.as_bytes()).as_bytes()),
            "thing as a list of bytes"
        );
    }
    assert_eq!(
        found(HEXLOWER.encode(&Sha256::digest(thing)).as_bytes()),
        "thing hashed"
    );
    assert_eq!(found(b"v4lue~with?every>7bit"), "");
}
