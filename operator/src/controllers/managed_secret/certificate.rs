//! The certificate of a `ManagedSecret`, and what it and its authority have to know of each other.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use jiff::SignedDuration;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::ResourceExt;
use strongroom_crds::condition::ConditionType;
use strongroom_crds::v1alpha1::{
    CertificateStatus, ManagedCertificateAuthority, ManagedSecretStatus, RenewBefore, Source, X509Source,
};
use strongroom_crds::view::{PartialObject, ValueOrigin};
use strongroom_model::name::VersionId;
use strongroom_rules::generate::{self, Chain};
use strongroom_rules::managed_secret::certificate_condition::CertificateProblem;
use strongroom_rules::managed_secret::renewal::{
    CertificateFacts, OldRoots, Renewal, RenewalPolicy, RootsStatus, Signature,
};
use strongroom_store::vault::SecretView;

use super::observed_secret::ObservedSecret;
use super::{key_check, plain_value};
use crate::controllers::Ctx;
use crate::controllers::certificates::{AuthorityLeaf, LeafProgress, VersionCertificates};
use crate::controllers::failure::Failure;
use crate::controllers::identity::Identity;
use crate::controllers::metrics::CertificateTimes;
use crate::controllers::runtime::status_writer::time;
use crate::kube::{EventMessage, EventReason};
use crate::store_handle::timestamp;

/// Certificates begin so long before they are made.
const BACKDATE: SignedDuration = SignedDuration::from_mins(1);
/// Where values from elsewhere have their certificate, as Secrets of type kubernetes.io/tls do: in `tls.crt`.
const TLS: &str = "tls";
/// The x509 key of an authority whose leaf names none.
const AUTHORITY_KEY: &str = "ca";

/// Looks at the certificate of the current version. A value is opened only where the version was not seen
/// before.
pub(super) async fn observe(ctx: &Ctx, observed: &mut ObservedSecret) -> Result<(), Failure> {
    let (namespace, name) = (&observed.identity.namespace, &observed.identity.name);
    let own = own_source(observed);
    let mut keys: BTreeSet<Box<str>> = ctx.certificates.issuing(namespace, name);
    let elsewhere = comes_from_elsewhere(observed);
    keys.extend(own.map(|(key, _)| key.into()));
    keys.extend(elsewhere.then(|| TLS.into()));
    if keys.is_empty() {
        ctx.certificates.forget(namespace, name);
        ctx.metrics.certificate(namespace, name, None);
        return Ok(());
    }
    let Some(view) = live(observed) else {
        return Ok(());
    };
    let Some(held) = held(ctx, observed, view, keys).await? else {
        return Ok(());
    };
    let certificate = own.and_then(|(key, source)| {
        let chain = held.chains.get(key)?.as_ref()?;
        Some(facts(ctx, observed, view, key, source, chain))
    });
    let watched = || {
        let chain = held.chains.get(TLS)?.as_ref()?;
        Some(watched_facts(ctx, view, chain))
    };
    let certificate = certificate.or_else(|| elsewhere.then(watched).flatten());
    let times = certificate.as_ref().map(|certificate| CertificateTimes {
        key: &certificate.key,
        ends: certificate.not_after,
        deadline: certificate.alarms(),
    });
    ctx.metrics.certificate(namespace, name, times);
    tell_authority(ctx, observed, own, certificate.as_ref());
    observed.facts.certificate = certificate;
    Ok(())
}

/// The x509 source of the object and the key that it makes.
fn own_source(observed: &ObservedSecret) -> Option<(&str, &X509Source)> {
    match &observed.object.spec.source {
        Source::Generate(source) => generate::certificate_source(&source.keys),
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => None,
    }
}

/// Whether the value comes from elsewhere: a certificate in it is not made here, and only its end is watched.
fn comes_from_elsewhere(observed: &ObservedSecret) -> bool {
    match &observed.object.spec.source {
        Source::Generate(_) => false,
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => true,
    }
}

/// What there is to know of a certificate that comes from elsewhere.
fn watched_facts(ctx: &Ctx, view: &SecretView, chain: &Chain) -> CertificateFacts {
    let made = made(chain);
    CertificateFacts {
        key: format!("{TLS}.crt"),
        made,
        not_after: chain.own.not_after,
        policy: RenewalPolicy::Elsewhere,
        signature: Signature::Own { old_roots: None },
        valid_for: chain.own.not_after.duration_since(made),
        rotated: timestamp(view.last_rotation()),
        started: ctx.certificates.started(),
    }
}

fn authority(source: &X509Source) -> Option<&ManagedCertificateAuthority> {
    generate::certificate_authority(source)
}

/// The live secret of the object.
fn live(observed: &ObservedSecret) -> Option<&SecretView> {
    let bound = |view: &&SecretView| {
        view.object
            .as_ref()
            .is_some_and(|object| object.uid.as_str() == observed.identity.uid)
    };
    observed.view.as_ref().filter(|view| view.is_live()).filter(bound)
}

/// The certificates of the current version, as they are known or else as they are. `None` while it cannot be
/// opened.
async fn held(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    keys: BTreeSet<Box<str>>,
) -> Result<Option<std::sync::Arc<VersionCertificates>>, Failure> {
    let (namespace, name) = (&observed.identity.namespace, &observed.identity.name);
    let Some(version) = view.current_id() else {
        return Ok(None);
    };
    let known = ctx.certificates.get(namespace, name).filter(|held| {
        *held.version == *version.as_str() && keys.iter().all(|key| held.chains.contains_key(key))
    });
    if known.is_some() {
        return Ok(known);
    }
    let value = match &observed.current {
        Some((current, value)) if current == version => plain_value::plain(value),
        _ if refuses(observed) => return Ok(None),
        _ => plain_value::plain(&ctx.store.open(view.id, version).await?),
    };
    let chains: BTreeMap<_, _> = keys
        .into_iter()
        .map(|key| {
            let chain = Chain::from_value(&value, &key);
            (key, chain)
        })
        .collect();
    let held = VersionCertificates {
        version: version.as_str().into(),
        chains,
    };
    ctx.certificates.record(namespace, name, held);
    Ok(ctx.certificates.get(namespace, name))
}

fn refuses(observed: &ObservedSecret) -> bool {
    let wanted = observed.facts.wanted.as_ref().ok();
    wanted
        .and_then(|wanted| wanted.key.as_ref())
        .is_some_and(|key| key_check::refuses(key.state))
}

fn facts(
    ctx: &Ctx,
    observed: &ObservedSecret,
    view: &SecretView,
    key: &str,
    source: &X509Source,
    chain: &Chain,
) -> CertificateFacts {
    let immutable = observed
        .object
        .spec
        .secret
        .as_ref()
        .and_then(|native| native.immutable);
    let policy = match (immutable, source.renew_before) {
        (Some(true), _) => RenewalPolicy::Immutable,
        (_, Some(RenewBefore::Never)) => RenewalPolicy::Never,
        (_, Some(RenewBefore::Before(period))) => {
            RenewalPolicy::Before(SignedDuration::from_secs(period.seconds()))
        }
        (_, None) => RenewalPolicy::Third,
    };
    let signature = match authority(source) {
        Some(authority) => by_authority(ctx, observed, authority, chain),
        None => {
            let old_roots = (source.is_ca == Some(true))
                .then(|| old_roots(ctx, observed, chain))
                .flatten();
            Signature::Own { old_roots }
        }
    };
    CertificateFacts {
        key: format!("{key}.crt"),
        made: made(chain),
        not_after: chain.own.not_after,
        policy,
        signature,
        valid_for: SignedDuration::from_secs(generate::validity(source)),
        rotated: timestamp(view.last_rotation()),
        started: ctx.certificates.started(),
    }
}

/// How the certificate stands to the authority that its source names.
fn by_authority(
    ctx: &Ctx,
    observed: &ObservedSecret,
    reference: &ManagedCertificateAuthority,
    chain: &Chain,
) -> Signature {
    let namespace = &observed.identity.namespace;
    let authority = reference.name.clone();
    let held = ctx.certificates.get(namespace, &authority);
    let key = reference.key.as_deref().unwrap_or(AUTHORITY_KEY);
    let Some(above) = held.as_ref().and_then(|held| held.chains.get(key)?.as_ref()) else {
        return Signature::Unknown { authority };
    };
    let follows = chain.above == above.bundle;
    if chain.is_signed_by(above) {
        return Signature::Current {
            authority,
            ends: above.own.not_after,
            follows,
        };
    }
    let rooted = chain.is_rooted_in(above);
    if !rooted && chain.own.issuer != above.own.subject {
        return Signature::Other { authority };
    }
    Signature::Former {
        since: made(above),
        follows: match (follows, rooted) {
            (true, _) => RootsStatus::Yes,
            (false, true) => RootsStatus::NotYet,
            (false, false) => RootsStatus::Cannot,
        },
        trusted: ctx.certificates.is_trusted(namespace, &authority),
        leaves: u32::try_from(ctx.certificates.count(namespace, &authority)).unwrap_or(u32::MAX),
        authority,
    }
}

/// When the certificate was made.
fn made(chain: &Chain) -> jiff::Timestamp {
    let begin = chain.own.not_before;
    begin.checked_add(BACKDATE).unwrap_or(begin)
}

/// The roots that an authority had before, and who needs them still. Whoever is signed by it hears whether
/// all trust its new key.
fn old_roots(ctx: &Ctx, observed: &ObservedSecret, chain: &Chain) -> Option<OldRoots> {
    let (namespace, name) = (&observed.identity.namespace, &observed.identity.name);
    if !chain.has_old_roots() {
        ctx.certificates.set_trusted(namespace, name, true);
        return None;
    }
    let leaves = ctx.certificates.leaves(namespace, name);
    let moved = |name: &str| ctx.certificates.has_moved(namespace, name);
    let unknown = unknown_leaves(ctx, observed, &leaves);
    let trusted = unknown.is_empty()
        && moved(name)
        && leaves
            .iter()
            .all(|(leaf, AuthorityLeaf { standing, .. })| *standing != LeafProgress::Behind && moved(leaf));
    ctx.certificates.set_trusted(namespace, name, trusted);
    let needed_by = leaves
        .iter()
        .filter(|(leaf, AuthorityLeaf { standing, .. })| *standing != LeafProgress::Done || !moved(leaf))
        .map(|(leaf, _)| leaf.to_string())
        .chain(unknown)
        .chain((!moved(name)).then(|| name.clone()))
        .collect();
    Some(OldRoots {
        since: made(chain),
        needed_by,
    })
}

/// Objects that name this authority and were not looked at yet, as after a start of this process.
fn unknown_leaves(
    ctx: &Ctx,
    observed: &ObservedSecret,
    known: &BTreeMap<Box<str>, AuthorityLeaf>,
) -> Vec<String> {
    let names_it = |view: &PartialObject<ValueOrigin>| match &view.spec.source {
        Some(Source::Generate(source)) => generate::certificate_source(&source.keys)
            .and_then(|(_, source)| authority(source))
            .is_some_and(|authority| authority.name == observed.identity.name),
        Some(Source::Import(_) | Source::External(_) | Source::Sealed(_)) | None => false,
    };
    let namespace = Some(observed.identity.namespace.as_str());
    ctx.managed_secrets
        .state_filter(|kept| {
            kept.namespace().as_deref() == namespace && !known.contains_key(kept.name_any().as_str())
        })
        .into_iter()
        .filter(|kept| {
            kept.parse_as()
                .is_ok_and(|view: PartialObject<ValueOrigin>| names_it(&view))
        })
        .map(|kept| kept.name_any())
        .collect()
}

/// Has the authority know how far its leaf is.
fn tell_authority(
    ctx: &Ctx,
    observed: &ObservedSecret,
    own: Option<(&str, &X509Source)>,
    certificate: Option<&CertificateFacts>,
) {
    let (namespace, name) = (&observed.identity.namespace, &observed.identity.name);
    let Some(reference) = own.and_then(|(_, source)| authority(source)) else {
        ctx.certificates.remove_leaf(namespace, name);
        return;
    };
    let standing = match certificate.map(|certificate| &certificate.signature) {
        Some(
            Signature::Current { follows: false, .. }
            | Signature::Former {
                follows: RootsStatus::NotYet,
                ..
            },
        ) => LeafProgress::Behind,
        Some(Signature::Former { .. }) => LeafProgress::Trusts,
        Some(
            Signature::Current { follows: true, .. }
            | Signature::Own { .. }
            | Signature::Unknown { .. }
            | Signature::Other { .. },
        )
        | None => LeafProgress::Done,
    };
    // An authority in between has come as far as those that it signs.
    let below = ctx.certificates.leaves(namespace, name);
    let all = below.iter().all(|(leaf, below)| {
        below.standing == LeafProgress::Done && ctx.certificates.has_moved(namespace, leaf)
    });
    let leaf = AuthorityLeaf {
        key: reference.key.as_deref().unwrap_or(AUTHORITY_KEY).into(),
        standing: match standing {
            standing if all => standing,
            LeafProgress::Done => LeafProgress::Trusts,
            LeafProgress::Trusts | LeafProgress::Behind => LeafProgress::Behind,
        },
    };
    ctx.certificates
        .record_leaf(namespace, name, &reference.name, leaf);
}

/// What the status says of the certificate.
pub(super) fn status(observed: &ObservedSecret, now: jiff::Timestamp) -> Option<CertificateStatus> {
    let certificate = observed.facts.certificate.as_ref()?;
    Some(CertificateStatus {
        key: certificate.key.clone(),
        not_before: time(certificate.made.checked_sub(BACKDATE).unwrap_or(certificate.made)),
        not_after: time(certificate.not_after),
        renewal_time: match certificate.renewal(&observed.facts.object.uid, now) {
            Renewal::At(at) | Renewal::SignedAnewAt(at) => Some(time(at)),
            Renewal::Due(_) | Renewal::AfterAuthority | Renewal::Unknown | Renewal::Never => None,
        },
    })
}

/// Remembers whether all counted consumers have the current version.
pub(super) fn counted(ctx: &Ctx, identity: &Identity, view: &SecretView, status: &ManagedSecretStatus) {
    let current = view.current_id().map(VersionId::as_str);
    let moved = status
        .consumers
        .iter()
        .all(|consumers| Some(consumers.version_id.as_str()) == current);
    ctx.certificates
        .consumers_moved(&identity.namespace, &identity.name, current.filter(|_| moved));
}

/// Events for what happened to the certificate between two statuses.
pub(super) async fn tell(
    ctx: &Ctx,
    identity: &Identity,
    before: &ManagedSecretStatus,
    status: &ManagedSecretStatus,
) {
    let says = |status: &ManagedSecretStatus| {
        let type_ = ConditionType::CertificateCurrent.as_str();
        let found = status
            .conditions
            .iter()
            .find(|condition| condition.type_ == type_)?;
        let problem = CertificateProblem::from_reason(&found.reason)?;
        Some((problem, found.message.clone()))
    };
    let mut messages = Vec::new();
    if let (Some(old), Some(new)) = (&before.certificate, &status.certificate)
        && old.not_before != new.not_before
    {
        let note = format!("the certificate `{}` is valid until {}", new.key, new.not_after.0);
        messages.push((EventReason::CertificateRenewed, note));
    }
    if let Some((problem, message)) = says(status)
        && says(before).is_none_or(|(old, _)| old != problem)
    {
        let reason = match problem {
            CertificateProblem::Expired => EventReason::CertificateExpired,
            CertificateProblem::Expiring => EventReason::CertificateExpiring,
            CertificateProblem::AuthorityChanged => EventReason::AuthorityChanged,
            CertificateProblem::ScheduleTooLong => EventReason::ScheduleTooLong,
        };
        messages.push((reason, message));
    }
    let object = ObjectReference {
        api_version: Some("strongroom.dev/v1alpha1".to_owned()),
        kind: Some("ManagedSecret".to_owned()),
        namespace: Some(identity.namespace.clone()),
        name: Some(identity.name.clone()),
        uid: Some(identity.uid.clone()),
        ..ObjectReference::default()
    };
    for (reason, note) in messages {
        let message = EventMessage::new(reason, "Certificate", note);
        ctx.events.tell(message, &object).await;
    }
}
