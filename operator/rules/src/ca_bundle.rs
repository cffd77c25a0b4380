//! ConfigMap `strongroom-ca`: whether it is ours, and whether it is as it should be.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::ConfigMap;

use crate::config_map::{ConfigMapOwner, owner_of};

/// Name of the ConfigMap.
pub const NAME: &str = "strongroom-ca";
/// The one key of its data: authorities in PEM.
pub const KEY: &str = "ca.crt";
/// Its label, by which it stays ours while somebody edits its data.
const MANAGED_BY: (&str, &str) = ("app.kubernetes.io/managed-by", "strongroom");

/// What is to be done about the ConfigMap of one namespace.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BundleStep {
    /// None: it is ours and right.
    Nothing,
    /// There is none: it is made, unless somebody is faster.
    Create,
    /// It is ours and differs: it is written in the state that was read.
    Write,
    /// It is somebody else's: it stays as it is.
    Leave {
        /// The field manager that owns it, where the API server knows it.
        manager: Option<String>,
    },
}

/// What is to be done about `found`, which is to hold `text`.
#[must_use]
pub fn plan(found: Option<&ConfigMap>, text: &str) -> BundleStep {
    let Some(found) = found else {
        return BundleStep::Create;
    };
    let ours: [&[&str]; 2] = [&["data", KEY], &["metadata", "labels", MANAGED_BY.0]];
    if let ConfigMapOwner::Other { manager } = owner_of(&found.metadata, &ours) {
        return BundleStep::Leave { manager };
    }
    let holds = |map: &Option<BTreeMap<String, String>>, key: &str, value: &str| {
        map.as_ref().and_then(|map| map.get(key)).map(String::as_str) == Some(value)
    };
    if holds(&found.data, KEY, text) && holds(&found.metadata.labels, MANAGED_BY.0, MANAGED_BY.1) {
        BundleStep::Nothing
    } else {
        BundleStep::Write
    }
}

/// The ConfigMap as it is applied over the state `resource_version`.
#[must_use]
pub fn desired(text: &str, resource_version: &str) -> ConfigMap {
    let mut map = ConfigMap {
        data: Some(BTreeMap::from([(KEY.to_owned(), text.to_owned())])),
        ..ConfigMap::default()
    };
    map.metadata.name = Some(NAME.to_owned());
    map.metadata.resource_version = Some(resource_version.to_owned());
    map.metadata.labels = Some(BTreeMap::from([(
        MANAGED_BY.0.to_owned(),
        MANAGED_BY.1.to_owned(),
    )]));
    map
}

#[cfg(test)]
mod tests {
    use serde_json::{Value as Json, json};

    use super::*;

    fn planned(found: Json) -> BundleStep {
        plan(Some(&serde_json::from_value(found).expect("a ConfigMap")), "pem")
    }

    fn found(text: &str, manager: &str, fields: Json) -> Json {
        json!({
            "metadata": {
                "name": NAME,
                "labels": {"app.kubernetes.io/managed-by": "strongroom"},
                "managedFields": [{"manager": manager, "operation": "Apply", "fieldsV1": fields}],
            },
            "data": {KEY: text, "other": "x"},
        })
    }

    #[test]
    fn only_what_is_ours_is_written() {
        let key = || json!({"f:data": {"f:ca.crt": {}}});
        let label = json!({"f:metadata": {"f:labels": {"f:app.kubernetes.io/managed-by": {}}}});
        assert_eq!(plan(None, "pem"), BundleStep::Create);
        assert_eq!(planned(found("pem", "strongroom", key())), BundleStep::Nothing);
        assert_eq!(planned(found("old", "strongroom", key())), BundleStep::Write);
        assert_eq!(planned(found("edited", "strongroom", label)), BundleStep::Write);
        let mut unlabelled = found("pem", "strongroom", key());
        unlabelled["metadata"]["labels"] = json!({});
        assert_eq!(
            planned(unlabelled),
            BundleStep::Write,
            "one that an older version wrote"
        );
        let theirs = |manager: Option<&str>| BundleStep::Leave {
            manager: manager.map(str::to_owned),
        };
        assert_eq!(
            planned(found("pem", "kubectl-create", key())),
            theirs(Some("kubectl-create"))
        );
        let other = json!({"f:data": {"f:other": {}}});
        assert_eq!(
            planned(found("pem", "strongroom", other)),
            theirs(Some("strongroom"))
        );
        assert_eq!(planned(json!({"metadata": {"name": NAME}})), theirs(None));
    }
}
