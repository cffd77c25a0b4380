//! Messages of kubelet, generated from `proto/`.

use std::fmt;

use zeroize::Zeroize;

#[expect(missing_docs, reason = "generated; the .proto says it")]
pub mod csi {
    #![allow(
        missing_debug_implementations,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    include!("generated/csi.v1.rs");
}

#[expect(missing_docs, reason = "generated; the .proto says it")]
pub mod registration {
    #![allow(
        missing_debug_implementations,
        unreachable_pub,
        clippy::allow_attributes_without_reason,
        reason = "generated"
    )]
    include!("generated/pluginregistration.rs");
}

/// It holds the pod's tokens: wiped when dropped, never printed.
impl Drop for csi::NodePublishVolumeRequest {
    fn drop(&mut self) {
        self.secrets.values_mut().for_each(Zeroize::zeroize);
    }
}

impl fmt::Debug for csi::NodePublishVolumeRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NodePublishVolumeRequest")
            .field("volume_id", &self.volume_id)
            .field("target_path", &self.target_path)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    #[test]
    fn a_token_is_not_printed() {
        let request = csi::NodePublishVolumeRequest {
            secrets: HashMap::from([("csi.storage.k8s.io/serviceAccount.tokens".into(), "MARKER".into())]),
            volume_context: HashMap::from([("set".into(), "MARKER".into())]),
            volume_id: "v".into(),
            target_path: String::new(),
            volume_capability: None,
            readonly: true,
        };
        let said = format!("{request:?}");
        assert!(said.contains("\"v\"") && !said.contains("MARKER"), "{said}");
    }
}
