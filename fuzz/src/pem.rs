//! PEM texts: keys and certificates that people have pasted together, in values that go into files of
//! volumes.

use strongroom_render::format::{Entries, Format};
use strongroom_rules::value::{SecretBytes, Value};

fn written(input: Vec<u8>) -> Option<SecretBytes> {
    let mut value = Value::new();
    value.insert("a", input);
    let entries = Entries::select(&[&value], None).ok()?;
    entries.write(Format::Pem).ok()
}

/// Reads a text: what is written of it has one kind of line end, and reads back as the same.
pub fn run(input: &[u8]) {
    let Some(once) = written(input.to_vec()) else {
        return;
    };
    assert!(!once.expose().contains(&b'\r'), "a CR is written");
    assert!(once.expose().ends_with(b"-----\n"), "no newline at the end");
    let twice = written(once.expose().to_vec());
    assert!(
        twice.is_some_and(|twice| twice.expose() == once.expose()),
        "what was written reads back as something else"
    );
}
