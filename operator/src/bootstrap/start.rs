//! Looks at what is there, and carries the decision out: the store comes back open, or a person reads why
//! not.

use std::ops::ControlFlow;
use std::path::Path;
use std::sync::Arc;

use kube::{Api, Client};
use serde::Deserialize;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_model::SecretBytes;
use strongroom_model::id::{IdError, RequestId, StoreId};
use strongroom_model::time::Timestamp;
use strongroom_store::audit::{Action, Actor, RetentionLimits};
use strongroom_store::crypto::{CryptoError, RootKey};
use strongroom_store::engine::STORE_FILE;
use strongroom_store::seal::{FILE_NAME, SealError, SealFile, SlotKind, SlotSecret};
use strongroom_store::vault::{
    Anchor, AnchorRule, CreateStoreOptions, Meta, OpenError, OpenStoreOptions, Quota, RecordStoreEvent,
    Store, StoreError, StrictAnchor,
};

use super::decide::{AcceptFlags, BootstrapError, BootstrapFacts, SealKeyPresence, StartDecision, decide};
use crate::anchor::{AnchorConfigMap, AnchorError};
use crate::kube::in_words;
use crate::kube::watch::{self, Selection};
use crate::seal::{SealSource, SealSourceError, kubernetes};

/// What a start needs to know and reach.
pub(crate) struct Bootstrap<'a> {
    /// To the API server.
    pub(crate) client: Client,
    /// The process's own namespace.
    pub(crate) namespace: &'a str,
    /// The store's place.
    pub(crate) dir: &'a Path,
    /// What opens the seal.
    pub(crate) source: &'a SealSource,
    /// Where the anchor is read and written.
    pub(crate) anchor: &'a AnchorConfigMap,
    /// What a person accepts.
    pub(crate) accept: AcceptFlags,
    /// The least epoch.
    pub(crate) epoch: u64,
    /// The engine's page cache in bytes.
    pub(crate) cache_bytes: usize,
    /// Strict mode.
    pub(crate) strict_anchor: Option<StrictAnchor>,
    /// How much of the audit is kept.
    pub(crate) audit: RetentionLimits,
    /// What one namespace may have; none: there is no end.
    pub(crate) quota: Option<Quota>,
    pub(crate) now: Timestamp,
}

impl std::fmt::Debug for Bootstrap<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bootstrap")
            .field("dir", &self.dir)
            .finish_non_exhaustive()
    }
}

/// The start did not come about.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StartError {
    /// A person has to decide.
    #[error(transparent)]
    Bootstrap(#[from] BootstrapError),
    /// The API server.
    #[error("cannot determine what is there: {}", in_words(.0))]
    Kube(#[from] Box<kube::Error>),
    #[error(transparent)]
    Anchor(#[from] AnchorError),
    /// The key.
    #[error(transparent)]
    Source(#[from] SealSourceError),
    /// The seal file.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The store.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A record of the start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// No randomness.
    #[error(transparent)]
    Id(#[from] IdError),
}

impl StartError {
    /// Whether waiting may help: the API server is away. Everything else is for a person.
    pub(crate) const fn is_transient(&self) -> bool {
        match self {
            Self::Kube(_)
            | Self::Anchor(AnchorError::Kube(_) | AnchorError::Timeout | AnchorError::Conflict) => true,
            Self::Source(error) => matches!(error, SealSourceError::Kube(_)),
            Self::Anchor(AnchorError::Malformed(_))
            | Self::Bootstrap(_)
            | Self::Seal(_)
            | Self::Open(_)
            | Self::Store(_)
            | Self::Crypto(_)
            | Self::Id(_) => false,
        }
    }
}

/// An open store, and its root key for new slots.
#[derive(Debug)]
pub(crate) struct OpenedStore {
    pub(crate) store: Store,
    pub(crate) root: Arc<RootKey>,
}

impl Bootstrap<'_> {
    /// Opens the store, after making it where nothing ever was.
    pub(crate) async fn start(self) -> Result<OpenedStore, StartError> {
        let key = self.key().await?;
        let anchor = match self.anchor.read().await {
            // A person who accepts what the volume holds also accepts that the anchor is lost.
            Err(AnchorError::Malformed(why)) if self.accept.rollback => {
                tracing::warn!(error = %why, "anchor unreadable, rollback accepted");
                None
            }
            other => other?,
        };
        let facts = self.facts(key.as_ref(), anchor).await?;
        let start = decide(&facts, self.accept)?;
        tracing::info!(start = start.name(), "store state checked");
        let (key, rule) = match start {
            StartDecision::Open(anchor) => (self.require_key(key)?, AnchorRule::Expect(anchor)),
            StartDecision::OpenAccepted => (self.require_key(key)?, AnchorRule::Accept),
            StartDecision::Finish(store) => {
                self.publish(store, facts.anchor.is_none()).await?;
                (self.require_key(key)?, AnchorRule::Absent)
            }
            StartDecision::Create { reuse } => (
                self.create(if reuse { key } else { None }).await?,
                AnchorRule::Absent,
            ),
        };
        let accepted = rule == AnchorRule::Accept;
        let now = self.now;
        let started = self.open(&key, rule)?;
        if accepted {
            let detail = "--accept-rollback".to_owned();
            let record = RecordStoreEvent {
                action: Action::AcceptRollback,
                detail,
            };
            let meta = Meta {
                actor: Actor::Admin("serve".to_owned()),
                request: RequestId::generate()?,
                now,
                asked: None,
            };
            let store = started.store.clone();
            let ran = tokio::task::spawn_blocking(move || store.run(record, meta)).await;
            ran.unwrap_or(Err(StoreError::Closed))?;
        }
        Ok(started)
    }

    /// The key, where it is there.
    async fn key(&self) -> Result<Option<SlotSecret>, StartError> {
        match self.source {
            SealSource::KubernetesSecret(name) => {
                Ok(kubernetes::read(&self.client, self.namespace, name).await?)
            }
            provided => Ok(Some(provided.read().await?)),
        }
    }

    fn require_key(&self, key: Option<SlotSecret>) -> Result<SlotSecret, StartError> {
        key.ok_or_else(|| BootstrapError::KeyMissing.into())
    }

    async fn facts(
        &self,
        key: Option<&SlotSecret>,
        anchor: Option<Anchor>,
    ) -> Result<BootstrapFacts, StartError> {
        let slot = match (self.source, key) {
            (SealSource::KubernetesSecret(_), Some(_)) => SealKeyPresence::There,
            (SealSource::KubernetesSecret(_), None) => SealKeyPresence::Missing,
            _ => SealKeyPresence::Provided,
        };
        let prepared = Store::prepared(self.dir)
            .map(|seal| (seal.store(), key.is_some_and(|key| seal.unlock(key).is_ok())));
        Ok(BootstrapFacts {
            store: self.dir.join(STORE_FILE).exists(),
            seal: self.dir.join(FILE_NAME).exists(),
            prepared,
            slot,
            anchor,
            in_use: in_use(&self.client).await?,
        })
    }

    /// Makes a new store: whole beside its place, then its key, then its anchor, then into place. Killed
    /// between any two, the next start finishes it or begins anew.
    async fn create(&self, key: Option<SlotSecret>) -> Result<SlotSecret, StartError> {
        let store = StoreId::generate()?;
        let root = RootKey::generate()?;
        let prepare = |key: &SlotSecret| -> Result<(), StartError> {
            let seal = SealFile::new(store, &root, key, &key.kind().to_string())?;
            let actor = Actor::Admin("serve".to_owned());
            Store::prepare(&CreateStoreOptions {
                dir: self.dir,
                seal: &seal,
                root: &root,
                now: self.now,
                actor,
            })?;
            Ok(())
        };
        let key = match (key, self.source) {
            (Some(key), _) => {
                prepare(&key)?;
                key
            }
            (None, SealSource::KubernetesSecret(name)) => {
                let bytes = kubernetes::new_key()?;
                let key = SlotSecret::KubernetesSecret(SecretBytes::new(bytes.to_vec()));
                prepare(&key)?;
                kubernetes::create_with(&self.client, self.namespace, name, store, &bytes).await?;
                key
            }
            (None, _) => return Err(BootstrapError::KeyMissing.into()),
        };
        self.publish(store, true).await?;
        tracing::info!(%store, "store created");
        Ok(key)
    }

    /// Anchors the prepared store and puts it in place. An anchor before its first commit is behind every
    /// state of it.
    async fn publish(&self, store: StoreId, anchor: bool) -> Result<(), StartError> {
        if anchor {
            self.anchor
                .write(&Anchor {
                    store,
                    counter: 0,
                    mac: [0; 32],
                })
                .await?;
        }
        Store::publish(self.dir)?;
        Ok(())
    }

    fn open(self, key: &SlotSecret, anchor: AnchorRule) -> Result<OpenedStore, StartError> {
        let root = SealFile::load(self.dir)?
            .unlock(key)
            .map_err(|error| match error {
                SealError::WrongKey(SlotKind::KubernetesSecret)
                | SealError::NoSuchSlot(SlotKind::KubernetesSecret) => BootstrapError::NoSlot.into(),
                other => StartError::from(other),
            })?;
        if !root.is_locked() {
            tracing::warn!("root key not locked in memory, raise the memlock limit to keep it out of swap");
        }
        let store = Store::open(OpenStoreOptions {
            dir: self.dir,
            root: &root,
            epoch: self.epoch,
            anchor,
            cache_bytes: self.cache_bytes,
            strict_anchor: self.strict_anchor,
            audit: self.audit,
            quota: self.quota,
            now: self.now,
        })
        .map_err(|error| match error {
            OpenError::OtherAnchor => BootstrapError::OtherAnchor.into(),
            other => StartError::from(other),
        })?;
        Ok(OpenedStore {
            store,
            root: Arc::new(root),
        })
    }
}

/// Whether any ManagedSecret says that it is in a store. Without the kind there is none.
async fn in_use(client: &Client) -> Result<bool, StartError> {
    // Only the status counts here: an object that does not fit its type must not keep the process from
    // starting.
    #[derive(Deserialize)]
    struct StatusOnly {
        #[serde(default)]
        status: Status,
    }
    #[derive(Default, Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Status {
        #[serde(default)]
        secret_id: serde_json::Value,
    }
    let api: Api<ManagedSecret> = Api::all(client.clone());
    let mut found = false;
    let listed = watch::list(api, Selection::whole(), |StatusOnly { status }| {
        if status.secret_id.is_null() {
            return ControlFlow::Continue(());
        }
        found = true;
        ControlFlow::Break(())
    });
    match listed.await {
        Ok(()) => Ok(found),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(Box::new(error).into()),
    }
}
