//! What a start says beside the pieces of another store.

use std::path::Path;

use strongroom_model::id::StoreId;
use strongroom_store::audit::RetentionLimits;
use strongroom_store::vault::Anchor;
use strongroom_testing::api_server::ApiServer;
use strongroom_testing::store::{Fixture, NOW};

use super::NAMESPACE;
use crate::anchor::AnchorConfigMap;
use crate::bootstrap::{AcceptFlags, Bootstrap, BootstrapError, StartError};
use crate::seal::{SealSource, kubernetes};

const OTHER: StoreId = StoreId::from_bytes([2; 16]);

/// Why the store in `dir` does not start.
async fn refused(api: &ApiServer, dir: &Path, source: &SealSource) -> BootstrapError {
    let bootstrap = Bootstrap {
        client: api.client(),
        namespace: NAMESPACE,
        dir,
        source,
        anchor: &AnchorConfigMap::new(api.client(), NAMESPACE),
        accept: AcceptFlags::default(),
        epoch: 0,
        cache_bytes: 4 << 20,
        strict_anchor: None,
        audit: RetentionLimits::default(),
        quota: None,
        now: NOW,
    };
    match bootstrap.start().await {
        Err(StartError::Bootstrap(error)) => error,
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn beside_the_anchor_or_the_root_key_of_another_store_it_names_the_case_and_the_command() {
    let (dir, keep) = Fixture::new().close();
    let api = ApiServer::default();
    let anchor = Anchor {
        store: OTHER,
        counter: 1,
        mac: [0; 32],
    };
    let anchors = AnchorConfigMap::new(api.client(), NAMESPACE);
    anchors.write(&anchor).await.unwrap();
    let key = keep.path().join("key");
    std::fs::write(&key, [7; 32]).unwrap();
    let other_anchor = refused(&api, &dir, &SealSource::KeyFile(key)).await;
    assert_eq!(other_anchor, BootstrapError::OtherAnchor);

    kubernetes::create(&api.client(), NAMESPACE, "root", OTHER)
        .await
        .unwrap();
    let root = SealSource::KubernetesSecret("root".to_owned());
    let no_slot = refused(&api, &dir, &root).await;
    assert_eq!(no_slot, BootstrapError::NoSlot);
    let missing = SealSource::KubernetesSecret("gone".to_owned());
    let no_key = refused(&api, &dir, &missing).await;
    assert_eq!(no_key, BootstrapError::KeyMissing);
    for (error, command) in [
        (other_anchor, "strongroom restore --request-id"),
        (no_slot, "strongroom seal add --seal-recovery-key-file"),
        (no_key, "strongroom seal add --seal-recovery-key-file"),
    ] {
        assert!(error.to_string().contains(command), "{error}");
    }
}
