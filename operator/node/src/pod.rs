//! The pod that a volume is for.

use std::collections::BTreeMap;

use strongroom_render::attributes::KUBELET_PREFIX;

/// The pod that a volume is for, as kubelet says. For messages and the journal; who the pod is to the
/// gateway, its token says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Pod {
    /// `metadata.namespace`; empty where kubelet does not say, as for all fields here.
    pub namespace: String,
    /// `metadata.name`.
    pub name: String,
    /// `metadata.uid`.
    pub uid: String,
    /// Its ServiceAccount.
    pub service_account: String,
}

impl Pod {
    /// Reads it from what kubelet passes on.
    #[must_use]
    pub fn from_volume_context(context: &BTreeMap<String, String>) -> Self {
        let read = |key: &str| {
            context
                .get(&format!("{KUBELET_PREFIX}{key}"))
                .cloned()
                .unwrap_or_default()
        };
        Self {
            namespace: read("pod.namespace"),
            name: read("pod.name"),
            uid: read("pod.uid"),
            service_account: read("serviceAccount.name"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_from_what_kubelet_adds() {
        let context = [
            ("pod.name", "p"),
            ("pod.namespace", "n"),
            ("pod.uid", "u"),
            ("serviceAccount.name", "s"),
        ];
        let context = context.map(|(key, text)| (format!("{KUBELET_PREFIX}{key}"), text.to_owned()));
        let pod = Pod {
            namespace: "n".into(),
            name: "p".into(),
            uid: "u".into(),
            service_account: "s".into(),
        };
        assert_eq!(Pod::from_volume_context(&BTreeMap::from(context)), pod);
    }
}
