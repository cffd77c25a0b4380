//! What there is to know about absences: first from the caches, then, before anything is done, from the API server itself.

use std::collections::{BTreeMap, HashMap};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::{Api, ResourceExt};
use strongroom_rules::absence::{Crd, Facts, Home, Missing};
use strongroom_rules::uid::Uid;

use super::Memory;
use super::confirmation::Confirmation;
use super::kind::{Census, Kind, Owned};
use crate::controllers::Ctx;
use crate::controllers::managed_secret::Failure;
use crate::controllers::store::SecretStore;

/// What lost its object, as our cache has it.
pub(super) struct Suspects {
    pub(super) owned: Vec<Owned>,
    /// How much with an object each namespace has.
    population: BTreeMap<String, usize>,
}

/// Compares the store with our cache.
pub(super) async fn suspects<S: SecretStore>(ctx: &Ctx<S>, kind: Kind) -> Result<Suspects, Failure> {
    let Census { population, mortal } = kind.census(ctx).await?;
    let owned = mortal
        .into_iter()
        .filter(|owned| !kind.is_there(ctx, &owned.namespace, &owned.object.name))
        .collect();
    Ok(Suspects { owned, population })
}

/// The facts, each read from the API server just now.
pub(super) async fn facts<S: SecretStore>(
    ctx: &Ctx<S>,
    memory: &mut Memory,
    suspects: &Suspects,
) -> Result<Facts, Failure> {
    let (crd, made) = crd(ctx, memory).await?;
    if crd != Crd::Present {
        return Ok(Facts {
            crd,
            missing: Vec::new(),
            population: BTreeMap::new(),
            confirmed: None,
        });
    }
    let listed = memory.kind.list(ctx).await?;
    let mut homes: HashMap<&str, Option<(String, bool)>> = HashMap::new();
    let mut missing = Vec::new();
    for owned in &suspects.owned {
        let object = &owned.object;
        let here = listed.contains(&(owned.namespace.clone(), object.name.clone()));
        if here {
            continue;
        }
        if !homes.contains_key(owned.namespace.as_str()) {
            homes.insert(&owned.namespace, home(ctx, &owned.namespace).await?);
        }
        let home = match homes.get(owned.namespace.as_str()).and_then(Option::as_ref) {
            Some((uid, true)) if *uid == owned.namespace_uid => Home::Terminating,
            Some((uid, false)) if *uid == owned.namespace_uid => Home::Standing,
            _ => Home::Gone,
        };
        missing.push(Missing {
            since: memory.since.get(&owned.id).copied().unwrap_or(Timestamp::MAX),
            secret: owned.id.clone(),
            namespace: owned.namespace.clone(),
            object: object.name.clone(),
            uid: Uid::new(&object.uid),
            home,
            crd_replaced: made.is_some_and(|made| made > owned.created)
                && !memory.kind.absences(ctx).has_seen(&object.uid),
        });
    }
    let confirmed = Confirmation::read(ctx, memory.kind).await?;
    Ok(Facts {
        crd,
        missing,
        population: suspects.population.clone(),
        confirmed,
    })
}

/// The CRD, and when it was made.
async fn crd<S: SecretStore>(ctx: &Ctx<S>, memory: &mut Memory) -> Result<(Crd, Option<Timestamp>), Failure> {
    let api: Api<CustomResourceDefinition> = Api::all(ctx.client.clone());
    let Some(crd) = api.get_metadata_opt(memory.kind.crd_name()).await? else {
        return Ok((Crd::Missing, None));
    };
    if crd.metadata.deletion_timestamp.is_some() {
        return Ok((Crd::Terminating, None));
    }
    let uid = crd.metadata.uid.clone().unwrap_or_default();
    if memory.crd.as_ref().is_some_and(|before| *before != uid) {
        // What was seen went with the CRD before this one.
        let absences = memory.kind.absences(ctx);
        absences.forget();
        for uid in memory.kind.uids(ctx) {
            absences.saw(&uid);
        }
    }
    memory.crd = Some(uid);
    Ok((Crd::Present, crd.metadata.creation_timestamp.map(|time| time.0)))
}

/// UID of a Namespace, and whether it is being deleted; `None` when there is none.
async fn home<S: SecretStore>(ctx: &Ctx<S>, name: &str) -> Result<Option<(String, bool)>, Failure> {
    let api: Api<Namespace> = Api::all(ctx.client.clone());
    Ok(api.get_metadata_opt(name).await?.map(|namespace| {
        (
            namespace.uid().unwrap_or_default(),
            namespace.metadata.deletion_timestamp.is_some(),
        )
    }))
}
