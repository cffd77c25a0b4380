//! Labels of a secret in the store: those of its object, by which people find it, and ours, which hold what
//! must be known once the object is gone.

use std::collections::BTreeMap;

use strongroom_crds::v1alpha1::{DeletionPolicy, ManagedSecretSpec};
use strongroom_rules::value::{DEFAULT_RECOVERY_WINDOW_DAYS, RECOVERY_WINDOW_DAYS};
use strongroom_store::vault::Recovery;

/// What happens when the object goes away: `Retain`, or the days of the recovery window.
const DELETION: &str = "strongroom.dev/deletion";
const RETAIN: &str = "Retain";
/// What the label begins with that records a native Secret before a rename; its name follows, and the value
/// is its UID.
pub(crate) const FORMER_NATIVE: &str = "strongroom.dev/former-native.";
/// What our own labels begin with; nobody else's count.
const OURS: &str = "strongroom.dev/";
/// How many labels of an object are taken over, the first by name: some tools put dozens there.
const MAX_LABELS: usize = 48;

/// The native Secrets before renames that have to go: name and UID.
pub(crate) fn former_natives(labels: &BTreeMap<String, String>) -> impl Iterator<Item = (&str, &str)> {
    labels
        .iter()
        .filter_map(|(label, uid)| Some((label.strip_prefix(FORMER_NATIVE)?, uid.as_str())))
}

/// What happens to a secret whose object is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Deletion {
    /// The secret and its native Secret stay.
    Retain,
    /// The recovery window opens for so many days.
    Window(u32),
}

/// Whether a label is one of ours, of which nobody is told.
pub(crate) fn is_ours(label: &str) -> bool {
    label.starts_with(OURS)
}

/// The labels that are people's.
pub(crate) fn user_labels(labels: &BTreeMap<String, String>) -> BTreeMap<String, String> {
    labels
        .iter()
        .filter(|(label, _)| !is_ours(label))
        .take(MAX_LABELS)
        .map(|(label, value)| (label.clone(), value.clone()))
        .collect()
}

/// The labels that the store keeps beside people's: with theirs in place of those that are there.
pub(crate) fn replace_user_labels(
    kept: &BTreeMap<String, String>,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let ours = kept.iter().filter(|(label, _)| is_ours(label));
    let mut all = user_labels(labels);
    all.extend(ours.map(|(label, value)| (label.clone(), value.clone())));
    all
}

/// The labels that this spec, with the labels of its object, asks for.
pub(crate) fn desired(
    spec: &ManagedSecretSpec,
    labels: &BTreeMap<String, String>,
) -> BTreeMap<String, String> {
    let deletion = spec.deletion.as_ref();
    let retain = deletion.and_then(|deletion| deletion.policy) == Some(DeletionPolicy::Retain);
    let days = deletion
        .and_then(|deletion| deletion.recovery_window)
        .map(|window| window.whole_days());
    let text = if retain {
        RETAIN.to_owned()
    } else {
        days.unwrap_or_else(|| DEFAULT_RECOVERY_WINDOW_DAYS.into())
            .to_string()
    };
    let mut all = user_labels(labels);
    all.insert(DELETION.to_owned(), text);
    all
}

/// What a secret's labels say. Anything that cannot be read is the longest window: nothing is lost by
/// waiting.
pub(crate) fn deletion(labels: &BTreeMap<String, String>) -> Deletion {
    match labels.get(DELETION).map(String::as_str) {
        Some(RETAIN) => Deletion::Retain,
        Some(days) => Deletion::Window(
            days.parse()
                .ok()
                .filter(|days| RECOVERY_WINDOW_DAYS.contains(days))
                .unwrap_or(DEFAULT_RECOVERY_WINDOW_DAYS),
        ),
        None => Deletion::Window(DEFAULT_RECOVERY_WINDOW_DAYS),
    }
}

/// What follows the deletion of a secret with these labels, in a namespace without recovery windows. A
/// retained secret is kept.
pub(crate) fn recovery(labels: &BTreeMap<String, String>, namespace_keeps_nothing: bool) -> Recovery {
    match deletion(labels) {
        Deletion::Window(_) if namespace_keeps_nothing => Recovery::Nothing,
        Deletion::Window(_) | Deletion::Retain => Recovery::Window,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec(deletion: serde_json::Value) -> ManagedSecretSpec {
        serde_json::from_value(json!({
            "source": {"generate": {"keys": {"a": {"uuid": {}}}}}, "deletion": deletion,
        }))
        .unwrap()
    }

    #[test]
    fn what_is_written_is_read_back() {
        let table = [
            (json!(null), Deletion::Window(30)),
            (json!({"recoveryWindow": "7d"}), Deletion::Window(7)),
            (json!({"policy": "Retain"}), Deletion::Retain),
            (json!({"policy": "Delete"}), Deletion::Window(30)),
        ];
        for (json, expected) in table {
            let labels = desired(&spec(json.clone()), &BTreeMap::new());
            assert_eq!(deletion(&labels), expected, "{json}");
        }
    }

    #[test]
    fn nobody_elses_label_counts_as_ours() {
        let label = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        let given = BTreeMap::from([label(DELETION, RETAIN), label("team", "shop")]);
        let kept = desired(&spec(json!(null)), &given);
        assert_eq!(
            kept,
            BTreeMap::from([label(DELETION, "30"), label("team", "shop")])
        );
        assert_eq!(user_labels(&kept), BTreeMap::from([label("team", "shop")]));
        let other = BTreeMap::from([label("tier", "gold")]);
        assert_eq!(
            replace_user_labels(&kept, &other),
            BTreeMap::from([label(DELETION, "30"), label("tier", "gold")])
        );
        let many = (0..100)
            .map(|number| label(&format!("l{number:02}"), "x"))
            .collect();
        assert_eq!(desired(&spec(json!(null)), &many).len(), MAX_LABELS + 1);
    }

    #[test]
    fn nonsense_is_the_longest_window() {
        for text in ["", "0", "6", "31", "retain", "-7"] {
            let labels = BTreeMap::from([(DELETION.to_owned(), text.to_owned())]);
            assert_eq!(deletion(&labels), Deletion::Window(30), "{text}");
        }
    }
}
