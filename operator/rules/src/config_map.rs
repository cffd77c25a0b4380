//! Who owns a ConfigMap that we write by its name.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::native_secret::owners::FIELD_MANAGER;

/// Who owns it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigMapOwner {
    /// Ours: our manager owns what we write there.
    Ours,
    /// Somebody else's.
    Other {
        /// A field manager of it, where the API server knows one.
        manager: Option<String>,
    },
}

/// Whose the ConfigMap is, of which we write these fields, each as a path such as `["data", "ca.crt"]`. To
/// own one of them is enough: somebody may have edited the others.
#[must_use]
pub fn owner_of(found: &ObjectMeta, fields: &[&[&str]]) -> ConfigMapOwner {
    let entries = || found.managed_fields.iter().flatten();
    let mut own = entries().filter(|entry| entry.manager.as_deref() == Some(FIELD_MANAGER));
    let owns = |path: &[&str], owned: &serde_json::Value| {
        let mut path = path.iter();
        path.try_fold(owned, |at, name| at.get(format!("f:{name}")))
            .is_some()
    };
    let ours = own.any(|entry| {
        let owned = entry.fields_v1.as_ref().map(|owned| &owned.0);
        owned.is_some_and(|owned| fields.iter().any(|path| owns(path, owned)))
    });
    if ours {
        ConfigMapOwner::Ours
    } else {
        ConfigMapOwner::Other {
            manager: entries().find_map(|entry| entry.manager.clone()),
        }
    }
}
