//! What there is to know about absences: first from the caches, then, before anything is done, from the API server itself.

use std::collections::{BTreeMap, HashMap, HashSet};

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::ListParams;
use kube::runtime::reflector::ObjectRef;
use kube::{Api, CustomResourceExt, Resource, ResourceExt};
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::absence::{Crd, Facts, Home, Missing};
use strongroom_rules::uid::Uid;

use super::Memory;
use super::confirmation::Confirmation;
use crate::controllers::Ctx;
use crate::controllers::managed_secret::Failure;
use crate::controllers::managed_secret::labels::{Deletion, deletion};
use crate::controllers::store::{Owned, SecretStore};

/// Objects a page of a list.
const PAGE: u32 = 500;

/// Live secrets whose object is not in our cache.
pub(super) struct Suspects {
    /// The secrets.
    pub(super) owned: Vec<Owned>,
    /// How many live secrets with an object each namespace has.
    population: BTreeMap<String, usize>,
}

/// Compares the store with our cache. Secrets that are to be retained are no business of this.
pub(super) async fn suspects<S: SecretStore>(ctx: &Ctx<S>) -> Result<Suspects, Failure> {
    let all = ctx.store.owned().await?;
    let objects = ctx.managed_secrets.state();
    let present: HashSet<&str> = objects
        .iter()
        .filter_map(|kept| kept.meta().uid.as_deref())
        .collect();
    let mut population: BTreeMap<String, usize> = BTreeMap::new();
    for owned in &all {
        *population.entry(owned.namespace.clone()).or_default() += 1;
    }
    let owned = all
        .into_iter()
        .filter(|owned| {
            let Some(object) = &owned.view.object else {
                return false;
            };
            // An object of that name that was made anew takes its secret over in its own turn.
            let replaced = || {
                let reference = ObjectRef::new(&object.name).within(&owned.namespace);
                ctx.managed_secrets.get(&reference).is_some()
            };
            !present.contains(object.uid.as_str())
                && deletion(&owned.view.labels) != Deletion::Retain
                && !replaced()
        })
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
    let listed = listed(ctx).await?;
    let mut homes: HashMap<&str, Option<(String, bool)>> = HashMap::new();
    let mut missing = Vec::new();
    for owned in &suspects.owned {
        let Some(object) = &owned.view.object else {
            continue;
        };
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
        let id = owned.view.id.to_string();
        missing.push(Missing {
            since: memory.since.get(&id).copied().unwrap_or(Timestamp::MAX),
            secret: id,
            namespace: owned.namespace.clone(),
            object: object.name.clone(),
            uid: Uid::new(&object.uid),
            home,
            crd_replaced: made.is_some_and(|made| made > owned.view.created)
                && !ctx.absences.has_seen(&object.uid),
        });
    }
    let confirmed = Confirmation::read(ctx).await?;
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
    let Some(crd) = api.get_metadata_opt(ManagedSecret::crd_name()).await? else {
        return Ok((Crd::Missing, None));
    };
    if crd.metadata.deletion_timestamp.is_some() {
        return Ok((Crd::Terminating, None));
    }
    let uid = crd.metadata.uid.clone().unwrap_or_default();
    if memory.crd.as_ref().is_some_and(|before| *before != uid) {
        // What was seen went with the CRD before this one.
        ctx.absences.forget();
        for kept in ctx.managed_secrets.state() {
            ctx.absences.saw(&kept.uid().unwrap_or_default());
        }
    }
    memory.crd = Some(uid);
    Ok((Crd::Present, crd.metadata.creation_timestamp.map(|time| time.0)))
}

/// Namespace and name of every object there is: a consistent list, because it names no `resourceVersion`
/// (<https://kubernetes.io/docs/reference/using-api/api-concepts/#semantics-for-get-and-list>).
async fn listed<S: SecretStore>(ctx: &Ctx<S>) -> Result<HashSet<(String, String)>, Failure> {
    let api: Api<ManagedSecret> = Api::all(ctx.client.clone());
    let mut params = ListParams::default().limit(PAGE);
    let mut found = HashSet::new();
    loop {
        let page = api.list_metadata(&params).await?;
        found.extend(
            page.items
                .iter()
                .map(|object| (object.namespace().unwrap_or_default(), object.name_any())),
        );
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
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
