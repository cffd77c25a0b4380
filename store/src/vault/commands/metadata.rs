//! Bounds of what people write about a secret.

use std::collections::BTreeMap;

use crate::vault::error::Refusal;

/// Description and labels that a head can hold.
pub(super) fn check_metadata(description: &str, labels: &BTreeMap<String, String>) -> Result<(), Refusal> {
    if description.len() > 2_048 {
        return Err(Refusal::MetadataTooLarge("a description has at most 2,048 bytes"));
    }
    if labels.len() > 64
        || labels
            .iter()
            .any(|(key, value)| key.is_empty() || key.len() > 320 || value.len() > 128)
    {
        return Err(Refusal::MetadataTooLarge(
            "a secret has at most 64 labels, with names of at most 320 bytes and values of at most 128",
        ));
    }
    Ok(())
}
