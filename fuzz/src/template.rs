//! Templates of native Secrets. Who may write a ManagedSecret writes them, and who may read its conditions
//! reads their errors.

use strongroom_rules::template::{OUTPUT_BYTES, render_untrusted};
use strongroom_rules::value::Value;

/// Stands in every key of the value.
const MARKER: &str = "m4rk3r-0f-a-va1ue";

fn value() -> Value {
    let mut value = Value::new();
    value.insert("username", format!("user {MARKER}\nsecond line\n").into_bytes());
    value.insert(
        "password",
        format!("p:/?#[]@!$&'()*+,;=\"\\<>{MARKER}").into_bytes(),
    );
    value.insert("encoded", "bTRyazNyLTBmLWEtdmExdWU=".to_owned().into_bytes());
    value.insert(
        "tls.crt",
        format!("-----BEGIN X-----\n{MARKER}\n-----END X-----\n").into_bytes(),
    );
    value.insert("long", MARKER.repeat(200).into_bytes());
    value.insert("binary", [&[0xff, 0, 0xfe], MARKER.as_bytes()].concat());
    value.insert("empty", Vec::new());
    value
}

/// Renders a text: the output is bounded, and an error shows nothing of the value.
pub fn run(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    match render_untrusted(&text, &value()) {
        Ok(output) => assert!(
            output.expose().len() <= OUTPUT_BYTES,
            "the output is {} bytes",
            output.expose().len()
        ),
        Err(error) => {
            let said = format!("{error} {error:?}");
            // What the template itself says may come back in its error.
            assert!(
                !said.contains(MARKER) || text.contains(MARKER),
                "an error shows a value: {said}"
            );
            assert!(
                said.len() <= 4 * text.len() + 2_048,
                "an error of {} bytes",
                said.len()
            );
        }
    }
}
