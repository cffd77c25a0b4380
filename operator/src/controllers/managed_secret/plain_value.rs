//! Converts a value between the type of the rules and that of the store.

use std::collections::BTreeMap;

use strongroom_crds::condition::Reason;
use strongroom_model::name::DataKeyName;
use strongroom_rules::value::Value as Plain;
use strongroom_store::value::Value;

use crate::controllers::failure::Failure;

/// A stored value in the terms of the rules.
pub(super) fn plain(value: &Value) -> Plain {
    value
        .keys()
        .iter()
        .map(|(name, bytes)| (name.as_str().to_owned(), bytes.duplicate()))
        .collect()
}

/// A made value in the terms of the store.
pub(super) fn stored(value: Plain) -> Result<Value, Failure> {
    let mut keys = BTreeMap::new();
    for (name, bytes) in value {
        let name = DataKeyName::new(&name).map_err(|error| Failure::Make {
            reason: Reason::SourceInvalid,
            message: error.to_string(),
        })?;
        keys.insert(name, bytes);
    }
    Value::from_keys(keys).map_err(|error| Failure::Refused {
        reason: Reason::ValueTooLarge,
        message: error.to_string(),
    })
}
