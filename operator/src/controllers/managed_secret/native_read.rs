//! Reading the native Secret of one `ManagedSecret`, and the one to import: each only where the decision
//! needs it, and not where it is known.

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Secret;
use kube::{Api, ResourceExt};
use strongroom_crds::v1alpha1::{ManagedSecret, Source as SourceSpec};
use strongroom_rules::managed_secret::facts::{
    DesiredState, ImportState, NativeSecretState, ObservedNativeSecret, RecordedSecretId, StoredSecret,
    ValueSource,
};
use strongroom_rules::native_secret::{Drift, HELD_ANNOTATION};
use strongroom_rules::uid::Uid;
use strongroom_store::vault::SecretView;

use super::observed_secret::ObservedSecret;
use super::{NativeCheck, holder, import, native};
use crate::controllers::Ctx;
use crate::controllers::cluster::{NativeRevision, SettledState};
use crate::controllers::failure::Failure;

/// The state in which the object was last found right, if nothing speaks against it.
pub(super) fn settled(
    ctx: &Ctx,
    observed: &ObservedSecret,
    wanted: &DesiredState,
    view: &SecretView,
    now: Timestamp,
) -> Option<SettledState> {
    let target = wanted.native.as_ref().map(|native| native.name.as_str());
    if view.materialized.as_ref().map(|native| native.name.as_str()) != target {
        return None;
    }
    let native = target.map(|name| (observed.identity.namespace.as_str(), name));
    ctx.cluster.is_settled(
        &observed.identity.uid,
        observed.identity.generation,
        view.current_id()?.as_str(),
        native,
        now,
    )
}

/// A native Secret that is known to be right without another look.
pub(super) fn as_wanted(native: &NativeRevision) -> ObservedNativeSecret {
    ObservedNativeSecret {
        marked: true,
        ..ObservedNativeSecret::new(Uid::new(&*native.uid))
    }
}

/// `Some` when everything outside is as it should be: no native Secret is wanted and none is recorded, or
/// ours is right.
pub(super) fn as_it_should_be(
    observed: &ObservedSecret,
    wanted: &DesiredState,
    secret: &StoredSecret,
) -> Option<Option<NativeRevision>> {
    match (
        &wanted.native,
        &secret.materialized,
        &observed.facts.native,
        &observed.native,
    ) {
        (None, None, _, _) => Some(None),
        (Some(target), Some(ours), NativeSecretState::Present(found), Some(native))
            if found.drift.is_none() && ours.uid == found.uid && ours.name == target.name =>
        {
            Some(Some(NativeRevision::from_object(native)))
        }
        _ => None,
    }
}

/// Whether the object names its native Secret as the one to import, too.
pub(super) fn adopts(object: &ManagedSecret) -> bool {
    match (&object.spec.source, &object.spec.secret) {
        (SourceSpec::Import(source), Some(native)) => source.secret_ref.name == native.name,
        _ => false,
    }
}

/// Takes a native Secret as it is known, where nothing but the stored secret has changed since it was found
/// right: then it holds what was current before. The write carries the state that is known, so that a change
/// which no watch has told yet is met there.
pub(super) fn know_native(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
    now: Timestamp,
) -> bool {
    let (Some(target), Some(view), Some((version, _))) = (&wanted.native, live, &observed.current) else {
        return false;
    };
    let immutable = observed
        .object
        .spec
        .secret
        .as_ref()
        .is_some_and(|native| native.immutable == Some(true));
    if immutable
        || adopts(&observed.object)
        || view.materialized.as_ref().map(|native| &native.name) != Some(&target.name)
        || matches!(observed.facts.object.recorded, RecordedSecretId::Unknown(_))
    {
        return false;
    }
    let identity = &observed.identity;
    let place = Some((identity.namespace.as_str(), target.name.as_str()));
    let known = ctx
        .cluster
        .unchanged(&identity.uid, identity.generation, place, now)
        .filter(|settled| *settled.version != *version.as_str() && !settled.adopted)
        .and_then(|settled| settled.native)
        .filter(|native| {
            view.materialized
                .as_ref()
                .is_some_and(|ours| *ours.uid.as_str() == *native.uid)
        });
    let Some(native) = known else { return false };
    observed.facts.native = NativeSecretState::Present(ObservedNativeSecret {
        drift: Some(Drift::Content),
        ..as_wanted(&native)
    });
    observed.over = Some(native);
    true
}

/// Reads the native Secret, where the decision needs it.
pub(super) async fn read_native(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
    look: NativeCheck,
) -> Result<(), Failure> {
    let Some(target) = &wanted.native else {
        return Ok(());
    };
    let lost = matches!(observed.facts.object.recorded, RecordedSecretId::Unknown(_));
    let adopts = matches!(&wanted.source, ValueSource::Import { secret } if *secret == target.name);
    let known = live.is_some_and(|view| view.materialized.is_some());
    // For a Secret that was never written, a plain create tells as much as a read.
    let needed = look == NativeCheck::Thorough || lost || known || (adopts && live.is_some());
    if !needed {
        return Ok(());
    }
    let identity = observed.identity.clone();
    let (namespace, owner) = (&identity.namespace, &identity.name);
    let ours = live.and_then(|view| view.materialized.as_ref());
    let of_this_name = ours.filter(|ours| ours.name == target.name);
    let since = of_this_name.map(|_| ctx.cluster.announce_native(namespace, &target.name, owner));
    if of_this_name.is_none() {
        // Before the read, so that it is told if what is read there goes.
        ctx.cluster.await_native(namespace, owner, &target.name);
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), namespace);
    let Some(found) = api.get_opt(&target.name).await? else {
        observed.facts.native = NativeSecretState::Absent;
        return Ok(());
    };
    let marked = live.is_some_and(|view| native::marked_secret_id(&found) == Some(view.id));
    let recorded = live.is_some_and(|view| view.has_version(&import::version(view.id, &found)));
    let uid = found.uid().unwrap_or_default();
    let is_ours = of_this_name.is_some_and(|ours| ours.uid.as_str() == uid);
    match since {
        Some(since) if is_ours => {
            let revision = NativeRevision::from_object(&found);
            ctx.cluster
                .saw_native(namespace, &target.name, (owner.as_str(), since), revision);
        }
        Some(_) => ctx.cluster.forget_native_of(namespace, &target.name, owner),
        None => {}
    }
    let other = if is_ours || marked {
        None
    } else {
        holder::held_by_another(ctx, &identity, &found).await?
    };
    let elsewhere = ours.filter(|ours| ours.name != target.name);
    let contest = ctx.contests.get(&identity.uid).filter(|_| is_ours);
    observed.facts.native = NativeSecretState::Present(ObservedNativeSecret {
        drift: Some(Drift::Content),
        marked,
        recorded,
        held: found.annotations().contains_key(HELD_ANNOTATION),
        immutable: found.immutable == Some(true),
        terminating: found
            .metadata
            .deletion_timestamp
            .is_some()
            .then(|| found.finalizers().to_vec()),
        holder: other.map(|other| {
            let ours = elsewhere.map(|ours| ours.name.as_str());
            holder::holder(ctx, &identity, (&other, target.name.as_str()), ours)
        }),
        repair_from: contest.as_ref().map(|contest| contest.repairs.next()),
        mutated: contest.map(|contest| contest.mutated).unwrap_or_default(),
        ..ObservedNativeSecret::new(Uid::new(uid))
    });
    observed.over = Some(NativeRevision::from_object(&found));
    observed.native = Some(found);
    Ok(())
}

/// Reads the Secret to import, where the decision needs it.
pub(super) async fn read_import(
    ctx: &Ctx,
    observed: &mut ObservedSecret,
    wanted: &DesiredState,
    live: Option<&SecretView>,
) -> Result<(), Failure> {
    let ValueSource::Import { secret } = &wanted.source else {
        return Ok(());
    };
    let adopts = wanted
        .native
        .as_ref()
        .is_some_and(|native| native.name == *secret);
    let needed = match live {
        None => true,
        Some(view) => {
            let ours = view.materialized.as_ref();
            adopts && ours.is_none_or(|ours| ours.name != *secret)
        }
    };
    if !needed || observed.view.as_ref().is_some_and(|view| !view.is_live()) {
        return Ok(());
    }
    let api: Api<Secret> = Api::namespaced(ctx.client.clone(), &observed.identity.namespace);
    let Some(found) = api.get_opt(secret).await? else {
        observed.facts.import = ImportState::Absent;
        return Ok(());
    };
    let content = import::content(ctx, &observed.identity, found).await?;
    observed.facts.import = ImportState::Present {
        refusal: content.refusal.clone(),
    };
    observed.import = Some(content);
    Ok(())
}
