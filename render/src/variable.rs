//! What the variables of a pod cannot hold (`docs/env.md`): the rules of `strongroom-exec`, which shares no
//! code with anybody, for whoever looks for the cause of its refusal.

/// Longest line that kubelet reads of a file of variables, in bytes.
const LINE: usize = 65_000;

/// Why a value is not a variable's: by `env: exec`, or by the file of `env: file`.
#[must_use]
pub fn unfit(by_file: bool, name: &str, value: &[u8]) -> Option<&'static str> {
    if value.contains(&0) {
        return Some("it has a NUL byte, which no variable can have");
    }
    if !by_file {
        return None;
    }
    let Ok(text) = std::str::from_utf8(value) else {
        return Some("it is not UTF-8 text, which `env: file` needs");
    };
    let longest = text.split('\n').map(str::len).max().unwrap_or_default();
    if text.is_empty() {
        Some("it is empty, which `env: file` cannot represent")
    } else if text.contains('\'') {
        Some("it has a single quote, which `env: file` cannot represent")
    } else if text.contains("\r\n") {
        Some("it has lines that end with CR LF, which `env: file` cannot represent")
    } else if longest + name.len() > LINE {
        Some("it has a line of more than 65,000 bytes, which `env: file` cannot represent")
    } else {
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_variable_cannot_hold_is_told() {
        let long = "x".repeat(LINE);
        for (value, exec, file) in [
            ("plain", true, true),
            ("two\nlines", true, true),
            ("", true, false),
            ("it's", true, false),
            ("a\r\nb", true, false),
            ("a\0b", false, false),
            (long.as_str(), true, false),
        ] {
            let fits = |by_file| unfit(by_file, "A", value.as_bytes()).is_none();
            assert_eq!((fits(false), fits(true)), (exec, file), "{value:?}");
        }
        assert!(unfit(true, "A", b"\xff").is_some() && unfit(false, "A", b"\xff").is_none());
    }
}
