//! What a ManagedSecret can say of a secret besides its value: its description and labels.

use crate::gateway::problem::{Problem, invalid};

/// Longest description, in characters: as in the ManagedSecret.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// Whether the ManagedSecret can say this.
pub(super) fn metadata_fits<'a>(
    description: Option<&str>,
    labels: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Problem> {
    if description.is_some_and(|text| text.is_empty() || text.chars().count() > MAX_DESCRIPTION_CHARS) {
        return Err(invalid(
            "`description` must have 1 to 500 characters; null removes it",
        ));
    }
    for (label, value) in labels {
        label_fits(label)?;
        // https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
        let bytes = value.as_bytes();
        if bytes.len() > 63
            || !bytes.iter().copied().all(plain)
            || !ends(bytes.first())
            || !ends(bytes.last())
        {
            return Err(invalid(format!(
                "the value of label `{label}` is not a valid Kubernetes label value: use at most 63 letters, digits, `-`, `_`, `.`"
            )));
        }
    }
    Ok(())
}

/// Whether it can have a label of this name.
pub(super) fn label_fits(label: &str) -> Result<(), Problem> {
    let (prefix, name) = label.rsplit_once('/').unwrap_or(("", label));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !name.is_empty() && name.len() <= 63 && name.bytes().all(plain) && prefix.len() <= 253;
    if !fits || label.starts_with("strongroom.dev/") {
        return Err(invalid(
            "a label needs a valid Kubernetes label name, and not `strongroom.dev/…`",
        ));
    }
    Ok(())
}
