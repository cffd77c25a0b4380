//! Making keys: the generators of `strongroom_rules`, on threads of their own, with the operating system's
//! randomness and, where a certificate names one, the authority in another secret of the namespace.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource, ManagedCertificateAuthority, ManagedSecret};
use strongroom_model::name::SecretName;
use strongroom_rules::generate::{self, Authority, GenerateContext, GenerateError, PreviousValue};
use strongroom_rules::value::Value as Plain;
use strongroom_store::value::Value;

use super::observed_secret::ObservedSecret;
use super::plain_value::{plain, stored};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::refusals::{GenerationRefusal, RefusalGrounds};

/// Makes the keys of these sources, unless that was refused before.
pub(super) async fn make(
    ctx: &Ctx,
    observed: &ObservedSecret,
    source: &GenerateSource,
    sources: Vec<(&String, &KeySource)>,
    replaces: PreviousValue<'_>,
    now: Timestamp,
) -> Result<Plain, Failure> {
    let grounds = grounds(observed, sources.iter().map(|(name, _)| *name));
    if let Some(GenerationRefusal { reason, message }) = ctx.refusals.find(&observed.identity.uid, &grounds) {
        return Err(Failure::Refused { reason, message });
    }
    let made = make_anew(ctx, observed, source, &sources, replaces, now).await;
    made.inspect_err(|failure| remember(ctx, observed, grounds, failure))
}

async fn make_anew(
    ctx: &Ctx,
    observed: &ObservedSecret,
    source: &GenerateSource,
    sources: &[(&String, &KeySource)],
    replaces: PreviousValue<'_>,
    now: Timestamp,
) -> Result<Plain, Failure> {
    let ssh_auth = ssh_auth(observed);
    let kept = kept_bytes(source, sources, replaces);
    generate::fits(sources.iter().copied(), ssh_auth, kept).map_err(|error| Failure::made(&error))?;
    let mut references = sources.iter();
    let reference = references.find_map(|(_, source)| generate::authority_reference(source));
    let authority = match reference {
        Some(reference) => {
            let purpose = signs(observed, sources);
            Some(Arc::new(authority(ctx, observed, reference, purpose).await?))
        }
        None => None,
    };
    let former = OwnedPreviousValue::from_previous(replaces, sources).map(Arc::new);
    let mut made = Vec::new();
    for batch in batches(sources) {
        let (authority, former) = (authority.clone(), former.clone());
        let work = move || {
            let environment = GenerateContext {
                now,
                authority: authority.as_deref(),
                replaces: former
                    .as_deref()
                    .map_or(PreviousValue::Nothing, OwnedPreviousValue::replaces),
                ssh_auth,
            };
            let mut random = generate::random::system().map_err(|error| Failure::randomness(&error))?;
            let made = batch.into_iter().map(|(index, name, source)| {
                let value = generate::generate([(&name, &source)], &environment, &mut random);
                value
                    .map(|value| (index, value))
                    .map_err(|error| Failure::made(&error))
            });
            made.collect::<Result<Vec<_>, Failure>>()
        };
        let done = ctx.work(&observed.identity.namespace, work).await;
        made.extend(done.map_err(Failure::not_done)??);
    }
    // Where two sources make the same key, the last one has it.
    made.sort_unstable_by_key(|(index, _)| *index);
    let mut value = Plain::new();
    for (_, keys) in made {
        value.overlay(keys);
    }
    Ok(value)
}

/// A source with its place among those that are made, and its name.
type IndexedSource = (usize, String, KeySource);

/// The sources in the order in which they are made: what is fast at once, because it may be what is refused,
/// and then each that takes long by itself, so that another namespace waits for one key at most.
fn batches(sources: &[(&String, &KeySource)]) -> Vec<Vec<IndexedSource>> {
    let placed = sources.iter().enumerate();
    let placed = placed.map(|(index, (name, source))| (index, (*name).clone(), (*source).clone()));
    let (mut long, fast): (Vec<IndexedSource>, Vec<IndexedSource>) =
        placed.partition(|(_, _, source)| generate::takes_long(source));
    // A certificate may be refused, a key pair is not.
    long.sort_by_key(|(_, _, source)| !matches!(source, KeySource::X509(_)));
    std::iter::once(fast)
        .filter(|fast| !fast.is_empty())
        .chain(long.into_iter().map(|source| vec![source]))
        .collect()
}

/// The value that a certificate takes the place of.
enum OwnedPreviousValue {
    Rotated(Plain),
    Renewed(Plain),
}

impl OwnedPreviousValue {
    /// A copy of it, where one of the sources needs it.
    fn from_previous(replaces: PreviousValue<'_>, sources: &[(&String, &KeySource)]) -> Option<Self> {
        generate::certificate_source(sources.iter().copied())?;
        match replaces {
            PreviousValue::Nothing => None,
            PreviousValue::Rotated(value) => Some(Self::Rotated(value.duplicate())),
            PreviousValue::Renewed(value) => Some(Self::Renewed(value.duplicate())),
        }
    }

    const fn replaces(&self) -> PreviousValue<'_> {
        match self {
            Self::Rotated(value) => PreviousValue::Rotated(value),
            Self::Renewed(value) => PreviousValue::Renewed(value),
        }
    }
}

/// Bytes of the keys that certainly stay beside those that are made: what other sources made.
fn kept_bytes(
    source: &GenerateSource,
    sources: &[(&String, &KeySource)],
    replaces: PreviousValue<'_>,
) -> usize {
    let (PreviousValue::Rotated(value) | PreviousValue::Renewed(value)) = replaces else {
        return 0;
    };
    let made: BTreeSet<String> = sources
        .iter()
        .flat_map(|(name, source)| generate::outputs(name, source))
        .collect();
    let stay: BTreeSet<String> = source
        .keys
        .iter()
        .flat_map(|(name, source)| generate::outputs(name, source))
        .collect();
    value
        .iter()
        .filter(|(key, _)| stay.contains(*key) && !made.contains(*key))
        .map(|(key, bytes)| key.len() + bytes.expose().len())
        .sum()
}

/// What a refusal to make these keys stands on.
fn grounds<'a>(observed: &ObservedSecret, names: impl Iterator<Item = &'a String>) -> RefusalGrounds {
    RefusalGrounds {
        generation: observed.identity.generation,
        version: observed
            .view
            .as_ref()
            .and_then(|view| view.current_id().map(ToString::to_string)),
        keys: names.cloned().collect(),
    }
}

/// What is refused is not made again before something changes.
fn remember(ctx: &Ctx, observed: &ObservedSecret, grounds: RefusalGrounds, failure: &Failure) {
    if let Failure::Refused { reason, message } = failure {
        let refusal = GenerationRefusal {
            reason: *reason,
            message: message.clone(),
        };
        ctx.refusals.refused(&observed.identity.uid, grounds, refusal);
    }
}

/// The value that was made of these sources, in the terms of the store.
pub(super) fn taken(
    ctx: &Ctx,
    observed: &ObservedSecret,
    names: &[String],
    value: Plain,
) -> Result<Value, Failure> {
    let stored = stored(value);
    stored.inspect_err(|failure| remember(ctx, observed, grounds(observed, names.iter()), failure))
}

/// Whether the native Secret is of the type that OpenSSH's clients read.
fn ssh_auth(observed: &ObservedSecret) -> bool {
    let native = observed.object.spec.secret.as_ref();
    native.and_then(|native| native.type_.as_deref()) == Some("kubernetes.io/ssh-auth")
}

/// What an authority signs and for whom, for the record of the use of its key.
fn signs(observed: &ObservedSecret, sources: &[(&String, &KeySource)]) -> String {
    let Some((key, source)) = sources.iter().find_map(|(key, source)| match source {
        KeySource::X509(source) => Some((key, source)),
        _ => None,
    }) else {
        return String::new();
    };
    let what = if source.is_ca == Some(true) {
        "authority"
    } else {
        "certificate"
    };
    let names = source
        .common_name
        .iter()
        .chain(&source.dns_names)
        .chain(&source.ip_addresses);
    let names: Vec<&str> = names.map(String::as_str).collect();
    format!(
        "signs {what} `{key}` of ManagedSecret `{}`: {}",
        observed.identity.name,
        names.join(", ")
    )
}

/// The authority that a source names. The record of its opening says what for.
///
/// INVARIANT: it is the secret of that object, and not one whose name the object claims.
pub(super) async fn authority(
    ctx: &Ctx,
    observed: &ObservedSecret,
    reference: &ManagedCertificateAuthority,
    purpose: String,
) -> Result<Authority, Failure> {
    let absent = || Failure::Make {
        reason: Reason::AuthorityNotReady,
        message: format!(
            "ManagedSecret `{}`, the certificate authority, has no value yet",
            reference.name
        ),
    };
    let key = ObjectRef::new(&reference.name).within(&observed.identity.namespace);
    let object: ManagedSecret = ctx
        .managed_secrets
        .get(&key)
        .and_then(|kept| kept.parse().ok())
        .ok_or_else(absent)?;
    let owner = object.metadata.uid;
    let name = object.spec.store_name.unwrap_or_else(|| reference.name.clone());
    let name = SecretName::new(&name).map_err(|error| Failure::Name(error.to_string()))?;
    let namespace = observed.namespace.ok_or_else(absent)?;
    let view = ctx
        .store
        .find(namespace, &name)
        .await?
        .filter(|view| view.is_live())
        .filter(|view| view.object.as_ref().map(|object| object.uid.as_str()) == owner.as_deref())
        .ok_or_else(absent)?;
    let version = view.current_id().ok_or_else(absent)?;
    let value = ctx.store.open_for(view.id, version, purpose).await?;
    let key = reference.key.as_deref().unwrap_or("ca");
    Authority::from_value(&plain(&value), key).map_err(|error| Failure::Make {
        reason: Reason::AuthorityInvalid,
        message: error.to_string(),
    })
}

impl Failure {
    /// A generator failed.
    fn made(error: &GenerateError) -> Self {
        let message = error.to_string();
        match error {
            GenerateError::TooLarge { .. } => Self::Refused {
                reason: Reason::ValueTooLarge,
                message,
            },
            GenerateError::Password { .. } | GenerateError::OutOfRange { .. } => Self::Refused {
                reason: Reason::SourceInvalid,
                message,
            },
            // Another certificate of its authority may mend it.
            GenerateError::Certificate { .. } if error.needs_person() => Self::Make {
                reason: Reason::SourceInvalid,
                message,
            },
            GenerateError::Certificate { .. } | GenerateError::KeyPair { .. } => Self::Make {
                reason: Reason::GenerateFailed,
                message,
            },
        }
    }
}
