//! Reads the facts about missing objects: first from the caches, then, before anything is done, from the API
//! server itself.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::Api;
use strongroom_rules::deletion::{CrdState, DeletionFacts, MissingObject, NamespaceState};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::Recovery;

use super::confirmation;
use super::kind::DeletionCandidates;
use super::memory::DeletionMemory;
use crate::controllers::Ctx;
use crate::controllers::cluster::SeenNamespace;
use crate::controllers::failure::Failure;

/// The facts, each read from the API server just now.
pub(super) async fn facts(
    ctx: &Ctx,
    memory: &mut DeletionMemory,
    suspects: &DeletionCandidates,
) -> Result<DeletionFacts, Failure> {
    let (crd, made) = crd(ctx, memory).await?;
    if crd != CrdState::Present {
        return Ok(DeletionFacts {
            crd,
            missing: Vec::new(),
            present: BTreeMap::new(),
            confirmed: BTreeSet::new(),
        });
    }
    let listed = memory.kind.list(ctx).await?;
    let mut homes: HashMap<&str, Option<SeenNamespace>> = HashMap::new();
    let mut missing = Vec::new();
    let mut present = suspects.present.clone();
    for owned in &suspects.owned {
        let object = &owned.object;
        let here = listed.contains(&(owned.namespace.clone(), object.name.clone()));
        if here {
            present
                .entry(owned.namespace.clone())
                .or_default()
                .insert(owned.id.clone());
            continue;
        }
        if !homes.contains_key(owned.namespace.as_str()) {
            homes.insert(&owned.namespace, home(ctx, &owned.namespace).await?);
        }
        let seen = homes.get(owned.namespace.as_str()).and_then(Option::as_ref);
        let seen = seen.filter(|seen| seen.uid == owned.namespace_uid.as_str());
        let home = match seen {
            Some(seen) if seen.terminating => NamespaceState::Terminating,
            Some(_) => NamespaceState::Active,
            None => NamespaceState::Gone,
        };
        missing.push(MissingObject {
            since: memory.since.get(&owned.id).copied().unwrap_or(Timestamp::MAX),
            secret: owned.id.clone(),
            namespace: owned.namespace.clone(),
            object: object.name.clone(),
            uid: Uid::new(object.uid.as_str()),
            home,
            crd_replaced: made.is_some_and(|made| made > owned.created)
                && !memory.kind.signals(ctx).has_seen(object.uid.as_str()),
            recoverable: owned.recovery == Recovery::Window || seen.is_some_and(|seen| !seen.keeps_nothing),
        });
    }
    Ok(DeletionFacts {
        crd,
        missing,
        present,
        confirmed: confirmation::read(ctx, memory.kind).await?,
    })
}

/// The CRD, and when it was made.
async fn crd(ctx: &Ctx, memory: &mut DeletionMemory) -> Result<(CrdState, Option<Timestamp>), Failure> {
    let api: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    let Some(crd) = api.get_metadata_opt(memory.kind.crd_name()).await? else {
        return Ok((CrdState::Missing, None));
    };
    if crd.metadata.deletion_timestamp.is_some() {
        return Ok((CrdState::Terminating, None));
    }
    let uid = crd.metadata.uid.clone().unwrap_or_default();
    if memory.crd.as_ref().is_some_and(|before| *before != uid) {
        // What was seen went with the CRD before this one.
        let signals = memory.kind.signals(ctx);
        signals.forget();
        signals.saw_all(memory.kind.uids(ctx));
    }
    memory.crd = Some(uid);
    Ok((
        CrdState::Present,
        crd.metadata.creation_timestamp.map(|time| time.0),
    ))
}

/// A Namespace as it is; `None` when there is none.
async fn home(ctx: &Ctx, name: &str) -> Result<Option<SeenNamespace>, Failure> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    let found = api.get_metadata_opt(name).await?;
    Ok(found.as_ref().map(SeenNamespace::from_metadata))
}
