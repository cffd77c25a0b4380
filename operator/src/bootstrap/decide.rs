//! The decision, pure.

use strongroom_model::id::StoreId;
use strongroom_store::vault::Anchor;

/// What is known of the key that opens the seal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum SealKeyPresence {
    /// It is a Kubernetes Secret that the process makes itself, and it is there.
    There,
    /// It is a Kubernetes Secret that the process makes itself, and it is missing.
    Missing,
    /// A person provides it, and it is there; it says nothing about whether there was a store.
    Provided,
}

/// What a person accepts by flags.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub(crate) struct AcceptFlags {
    /// `--accept-rollback`: the store may be older than its anchor.
    pub(crate) rollback: bool,
    /// `--accept-new-store`: a new one may be made where there was a store.
    pub(crate) new_store: bool,
}

/// What was found before anything is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct BootstrapFacts {
    /// The store file in its place.
    pub(crate) store: bool,
    /// The seal file in its place.
    pub(crate) seal: bool,
    /// A new store that a former start made whole but did not put in place: its id, and whether the key opens
    /// it.
    pub(crate) prepared: Option<(StoreId, bool)>,
    /// Who provides the key that opens the seal, and whether it is there.
    pub(crate) slot: SealKeyPresence,
    /// What ConfigMap `strongroom-anchor` holds; none: nothing, or a person accepts what cannot be read.
    pub(crate) anchor: Option<Anchor>,
    /// Whether a ManagedSecret says that it is in a store.
    pub(crate) in_use: bool,
}

/// How to start.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StartDecision {
    /// Open what is there; it must not be older than the anchor.
    Open(Anchor),
    /// Open whatever is there: a person accepted it.
    OpenAccepted,
    /// Put the prepared store in place, then open it.
    Finish(StoreId),
    /// Make a new store, then open it. Where `reuse` is set the key is there already.
    Create {
        /// The key is there.
        reuse: bool,
    },
}

impl StartDecision {
    /// Its name in the log.
    pub(crate) const fn name(&self) -> &'static str {
        match self {
            Self::Open(_) => "open",
            Self::OpenAccepted => "open, as accepted by a person",
            Self::Finish(_) => "finish the store that was prepared",
            Self::Create { .. } => "create a new store",
        }
    }
}

/// A start that a person has to decide about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum BootstrapError {
    /// There was a store.
    #[error(
        "the store file is missing, but {0} shows that there was a store: bring the volume back, restore a backup with `strongroom restore` (in the \
         chart: `restore`, with a requestId that was not used yet), or, if everything in it may be lost, start once with --accept-new-store (`serve.extraArgs`)"
    )]
    StoreMissing(&'static str),
    /// Half a store.
    #[error(
        "the seal file `store.seal` is missing next to the store file: bring it back, or restore a backup with `strongroom restore`"
    )]
    SealMissing,
    /// The other half.
    #[error(
        "the store file `store.redb` is missing next to its seal file: bring it back, or restore a backup with `strongroom restore`"
    )]
    FileMissing,
    /// The key is gone.
    #[error(
        "the Secret with the key of the seal is missing: restore it from your backup of the cluster, or have a new one made with a recovery \
         key: `strongroom seal add --seal-recovery-key-file FILE --kubernetes-secret NAME` (in the chart: `serve.seal.recoveryKeySecret`)"
    )]
    KeyMissing,
    /// The anchor is gone.
    #[error(
        "the anchor (ConfigMap `strongroom-anchor`) is missing, so an older copy of the store could not be distinguished from the latest one: restore \
         it, or, if you know that the volume is the latest one, start once with --accept-rollback (in the chart: `serve.extraArgs`, and take it out again)"
    )]
    AnchorMissing,
    /// The key is another cluster's, or was made anew.
    #[error(
        "the Secret with the key of the seal opens no slot of the seal file in the volume, so it belongs to another store or was made anew: add a slot for \
         it with a recovery key: `strongroom seal add --seal-recovery-key-file FILE --kubernetes-secret NAME` (in the chart: `serve.seal.recoveryKeySecret`)"
    )]
    NoSlot,
    /// The anchor is another store's.
    #[error(
        "the anchor (ConfigMap `strongroom-anchor`) belongs to another store than the one in the volume: bring back the volume that it belongs to; a backup \
         comes into this cluster by `strongroom restore --request-id ID --kubernetes-secret NAME` (in the chart: `restore`), which takes the anchor over"
    )]
    OtherAnchor,
    /// A new store beside an old one.
    #[error("--accept-new-store was given, but there is a store: move it away first")]
    NotNew,
}

/// Decides by what is there and what a person accepts.
pub(crate) fn decide(facts: &BootstrapFacts, accept: AcceptFlags) -> Result<StartDecision, BootstrapError> {
    match (facts.store, facts.seal) {
        (true, true) => open(facts, accept),
        (true, false) => Err(BootstrapError::SealMissing),
        (false, true) => Err(BootstrapError::FileMissing),
        (false, false) => make(facts, accept),
    }
}

fn open(facts: &BootstrapFacts, accept: AcceptFlags) -> Result<StartDecision, BootstrapError> {
    if facts.slot == SealKeyPresence::Missing {
        return Err(BootstrapError::KeyMissing);
    }
    match facts.anchor {
        _ if accept.rollback => Ok(StartDecision::OpenAccepted),
        // The flag of the first start may still stand in a manifest: it makes nothing new beside a store.
        Some(anchor) => Ok(StartDecision::Open(anchor)),
        None if accept.new_store => Err(BootstrapError::NotNew),
        None => Err(BootstrapError::AnchorMissing),
    }
}

fn make(facts: &BootstrapFacts, accept: AcceptFlags) -> Result<StartDecision, BootstrapError> {
    let ours = |store: StoreId| facts.anchor.is_none_or(|anchor| anchor.store == store);
    if let Some((store, true)) = facts.prepared
        && facts.slot == SealKeyPresence::There
        && ours(store)
        && !facts.in_use
    {
        return Ok(StartDecision::Finish(store));
    }
    if !accept.new_store {
        if facts.in_use {
            return Err(BootstrapError::StoreMissing(
                "a ManagedSecret's `status.secretId`",
            ));
        }
        // With a provided key, a first start that was killed leaves its own anchor and its prepared store.
        let unfinished = facts
            .prepared
            .is_some_and(|(store, opens)| opens && facts.anchor.is_some() && ours(store));
        if facts.slot == SealKeyPresence::Provided && unfinished {
            return facts
                .prepared
                .map_or(Err(BootstrapError::FileMissing), |(store, _)| {
                    Ok(StartDecision::Finish(store))
                });
        }
        if facts.anchor.is_some() {
            return Err(BootstrapError::StoreMissing("the ConfigMap `strongroom-anchor`"));
        }
        if facts.slot == SealKeyPresence::There {
            return Err(BootstrapError::StoreMissing(
                "the Secret with the key of the seal",
            ));
        }
    }
    Ok(StartDecision::Create {
        reuse: facts.slot != SealKeyPresence::Missing,
    })
}
