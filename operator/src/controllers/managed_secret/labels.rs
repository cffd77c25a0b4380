//! What the controller itself records in the labels of a secret in the store, beside those that
//! [`crate::secret_labels`] has for all.

use std::collections::BTreeMap;

use strongroom_crds::v1alpha1::{SealedKey, SealedSource};
use strongroom_model::object_ref::ObjectRef;
use strongroom_rules::cause::text_digest;
use strongroom_rules::generate::GeneratorRecord;

use crate::secret_labels::{self, FORMER_NATIVE};

/// How the keys were made, in as many labels as it takes: this with a number.
const GENERATORS: &str = "strongroom.dev/generators.";
/// Longest value of a label of the store, in bytes.
const LABEL_BYTES: usize = 128;
/// Which sealed texts were taken last.
const SEALED: &str = "strongroom.dev/sealed";

/// What a sealed source declares, as it is recorded once it was taken: a digest of the sealed texts, of which
/// each differs whatever it holds.
pub(super) fn sealed_digest(source: &SealedSource) -> String {
    let mut all = String::new();
    for (key, SealedKey(text)) in &source.keys {
        all.push_str(&format!("{}:{key}{}:{text}", key.len(), text.len()));
    }
    text_digest(&all)
}

/// Records which sealed texts were taken.
pub(super) fn record_sealed_digest(labels: &mut BTreeMap<String, String>, declared: String) {
    labels.insert(SEALED.to_owned(), declared);
}

/// Which were taken last.
pub(super) fn recorded_sealed_digest(labels: &BTreeMap<String, String>) -> Option<&String> {
    labels.get(SEALED)
}

/// Records the native Secret before a rename, which has to go.
pub(super) fn record_former_native(labels: &mut BTreeMap<String, String>, native: &ObjectRef) {
    labels.insert(format!("{FORMER_NATIVE}{}", native.name), native.uid.to_string());
}

/// The native Secrets before renames that have to go.
pub(crate) fn former_natives(labels: &BTreeMap<String, String>) -> impl Iterator<Item = ObjectRef> {
    secret_labels::former_natives(labels).filter_map(|(name, uid)| ObjectRef::new(name, uid).ok())
}

/// The native Secret before a rename is gone.
pub(super) fn forget_former_native(labels: &mut BTreeMap<String, String>, name: &str) {
    labels.remove(&format!("{FORMER_NATIVE}{name}"));
}

/// Keeps what is recorded of native Secrets before renames.
pub(super) fn keep_former_natives(
    labels: &mut BTreeMap<String, String>,
    recorded: &BTreeMap<String, String>,
) {
    for native in former_natives(recorded) {
        record_former_native(labels, &native);
    }
}

/// Records how the keys were made, in the place of what was recorded before.
pub(super) fn record_generators(labels: &mut BTreeMap<String, String>, record: &GeneratorRecord) {
    labels.retain(|label, _| !label.starts_with(GENERATORS));
    let text = record.to_string();
    let mut rest = text.as_str();
    let mut number = 0;
    while !rest.is_empty() {
        // It is ASCII.
        let (part, more) = rest.split_at_checked(LABEL_BYTES).unwrap_or((rest, ""));
        labels.insert(format!("{GENERATORS}{number}"), part.to_owned());
        rest = more;
        number += 1;
    }
}

/// How the keys were made. Nothing where it was not recorded, as by older versions, or cannot be read.
pub(super) fn recorded_generators(labels: &BTreeMap<String, String>) -> Option<GeneratorRecord> {
    // By number, of which there is one digit.
    let text: String = labels
        .range(GENERATORS.to_owned()..)
        .take_while(|(label, _)| label.starts_with(GENERATORS))
        .map(|(_, part)| part.as_str())
        .collect();
    text.parse().ok()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_crds::v1alpha1::ManagedSecretSpec;

    use super::*;
    use crate::secret_labels::{desired, user_labels};

    fn spec(deletion: serde_json::Value) -> ManagedSecretSpec {
        serde_json::from_value(json!({
            "source": {"generate": {"keys": {"a": {"uuid": {}}}}}, "deletion": deletion,
        }))
        .unwrap()
    }

    #[test]
    fn former_native_secrets_are_remembered_until_they_are_gone() {
        let native = |name: &str| ObjectRef::new(name, &format!("uid-of-{name}")).unwrap();
        let mut recorded = BTreeMap::new();
        record_former_native(&mut recorded, &native("db"));
        record_former_native(&mut recorded, &native("db.old"));
        let mut labels = desired(&spec(json!(null)), &BTreeMap::new());
        keep_former_natives(&mut labels, &recorded);
        forget_former_native(&mut labels, "db");
        let left: Vec<ObjectRef> = former_natives(&labels).collect();
        assert_eq!(left, [native("db.old")]);
        assert!(user_labels(&labels).is_empty());
    }

    #[test]
    fn what_is_recorded_of_generators_is_read_back_whatever_its_length() {
        use strongroom_crds::v1alpha1::KeySource;
        let mut labels = desired(&spec(json!(null)), &BTreeMap::new());
        assert_eq!(recorded_generators(&labels), None);
        for keys in [100, 12, 40, 0, 1] {
            let mut record = GeneratorRecord::foreign();
            for number in 0..keys {
                record.remade(&format!("k{number}"), &KeySource::Literal(String::new()));
            }
            let record = record.bounded([]);
            record_generators(&mut labels, &record);
            assert_eq!(recorded_generators(&labels), Some(record), "{keys}");
            // With 48 of people's, the two askers', the deletion and the sealed texts there are fewer than
            // the store takes.
            assert!(labels.len() <= 1 + 8, "{}", labels.len());
            assert!(labels.values().all(|text| text.len() <= LABEL_BYTES));
            assert_eq!(labels["strongroom.dev/deletion"], "30");
        }
    }
}
