//! Making values: the generators of `strongroom_rules`, on threads of their own, with the operating system's
//! randomness and, where a certificate names one, the authority in another secret of the namespace.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource, ManagedSecret, Source};
use strongroom_model::SecretBytes;
use strongroom_model::name::{DataKeyName, SecretName};
use strongroom_rules::cause::Cause;
use strongroom_rules::generate::{
    self, Authority, Differences, GenerateContext, GenerateError, GeneratorRecord, PreviousValue,
};
use strongroom_rules::managed_secret::renewal::CertificateChange;
use strongroom_rules::value::Value as Plain;
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::labels;
use super::observe::ObservedSecret;
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;
use crate::controllers::refusals::{GenerationRefusal, RefusalGrounds};

/// A value that was made, and how its keys were.
pub(super) struct GeneratedValue {
    pub(super) value: Value,
    pub(super) record: GeneratorRecord,
}

/// How the keys were made, as labels of the stored secret record it, and the generators that changed since.
/// With another source the value gets keys in another way.
pub(super) fn observe(observed: &mut ObservedSecret) {
    let (Some(view), Ok(wanted)) = (&observed.view, &mut observed.facts.wanted) else {
        return;
    };
    let recorded = labels::recorded_generators(&view.labels);
    let record = match (&observed.object.spec.source, &observed.current) {
        (Source::Generate(source), Some((_, value))) => Some(record(source, view, value)),
        (Source::Generate(_), None) => recorded,
        (Source::Import(_) | Source::External(_) | Source::Sealed(_), _) => {
            (recorded.is_some() || was_generated(view)).then(GeneratorRecord::foreign)
        }
    };
    let Some(record) = record else { return };
    labels::record_generators(&mut wanted.labels, &record);
    if let Source::Generate(source) = &observed.object.spec.source {
        let changed = record.changed(&source.keys).into_iter().map(str::to_owned);
        observed.changed_generators = changed.collect();
    }
}

/// How the keys of this value were made, as far as that is known.
///
/// Where nothing is recorded, a secret that was made by its source holds nothing but what that named: what
/// the source names no more has to go. Any other has keys that came another way, and those stay.
pub(super) fn record(source: &GenerateSource, view: &SecretView, value: &Value) -> GeneratorRecord {
    let mut record = labels::recorded_generators(&view.labels).unwrap_or_else(|| {
        if was_generated(view) {
            GeneratorRecord::default()
        } else {
            GeneratorRecord::foreign()
        }
    });
    record.assume(&source.keys, |key| {
        value.keys().keys().any(|name| name.as_str() == key)
    });
    record.bounded(&source.keys)
}

/// Whether the secret was made by generators.
pub(super) fn was_generated(view: &SecretView) -> bool {
    view.has_version(&Cause::Create.version_id(view.id.as_bytes()))
}

/// How the keys of the value differ from the declared ones.
pub(super) fn differences(source: &GenerateSource, value: &Value, record: &GeneratorRecord) -> Differences {
    generate::differences(&source.keys, &plain(value), record)
}

/// The value of a first version.
pub(super) async fn first(
    ctx: &Ctx,
    observed: &ObservedSecret,
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
    let source = source(observed)?;
    let names: Vec<String> = source.keys.keys().cloned().collect();
    let value = make(
        ctx,
        observed,
        source.keys.iter().collect(),
        PreviousValue::Nothing,
        now,
    )
    .await?;
    Ok(GeneratedValue {
        value: taken(ctx, observed, &names, value)?,
        record: GeneratorRecord::made(&source.keys),
    })
}

/// The current value as the spec has it now: with the keys that it lacks, with the literals as they are,
/// without the keys that left, and with those made anew for which `again` holds. All others keep their bytes.
pub(super) async fn next(
    ctx: &Ctx,
    observed: &ObservedSecret,
    (view, current): (&SecretView, &Value),
    again: impl Fn(&str, &KeySource) -> bool,
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
    let source = source(observed)?;
    let mut record = record(source, view, current);
    let mut whole = plain(current);
    let differences = generate::differences(&source.keys, &whole, &record);
    let names = differences.made_by(&source.keys, again);
    let sources: Vec<(&String, &KeySource)> = source
        .keys
        .iter()
        .filter(|(name, _)| names.contains(name.as_str()))
        .collect();
    for (name, source) in &sources {
        record.remade(name, source);
    }
    let names: Vec<String> = sources.iter().map(|(name, _)| (*name).clone()).collect();
    let made = make(ctx, observed, sources, PreviousValue::Rotated(&whole), now).await?;
    whole.overlay(made);
    // After that, because a source with other settings may have made other keys before.
    let removed = generate::differences(&source.keys, &whole, &record).removed;
    for key in &removed {
        whole.remove(key);
    }
    record.forget(removed.iter().map(String::as_str));
    Ok(GeneratedValue {
        value: taken(ctx, observed, &names, whole)?,
        record: record.bounded(&source.keys),
    })
}

/// Whether a generator that changed since makes one of the keys that are made again.
pub(super) fn changes_generators(
    observed: &ObservedSecret,
    again: impl Fn(&str, &KeySource) -> bool,
) -> bool {
    let Source::Generate(source) = &observed.object.spec.source else {
        return false;
    };
    let mut changed = observed.changed_generators.iter();
    changed.any(|name| source.keys.get(name).is_some_and(|source| again(name, source)))
}

/// The current value after this change of its certificate. All other keys stay.
pub(super) async fn certified(
    ctx: &Ctx,
    observed: &ObservedSecret,
    (view, current): (&SecretView, &Value),
    change: CertificateChange,
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
    let source = source(observed)?;
    let (name, x509) = generate::certificate_source(&source.keys)
        .ok_or(Failure::Inconsistent("a certificate without a source"))?;
    let sources: Vec<(&String, &KeySource)> = source.keys.iter().filter(|(key, _)| *key == name).collect();
    let names: Vec<String> = sources.iter().map(|(key, _)| (*key).clone()).collect();
    let mut record = record(source, view, current);
    let mut whole = plain(current);
    let unreadable = || Failure::Inconsistent("a certificate that cannot be read");
    match change {
        CertificateChange::Renew | CertificateChange::SignAnew => {
            // An authority keeps key and name, whatever its settings are by now.
            if x509.is_ca != Some(true) {
                for (name, source) in &sources {
                    record.remade(name, source);
                }
            }
            let made = make(ctx, observed, sources, PreviousValue::Renewed(&whole), now).await?;
            whole.overlay(made);
        }
        CertificateChange::FollowAuthority => {
            let purpose = format!("its roots go to ManagedSecret `{}`", observed.identity.name);
            let authority = authority(ctx, observed, &sources, purpose)
                .await?
                .ok_or(Failure::Inconsistent("a certificate without its authority"))?;
            whole = generate::follow_authority(whole, name, &authority).ok_or_else(unreadable)?;
        }
        CertificateChange::DropOldRoots => {
            whole = generate::drop_old_roots(whole, name).ok_or_else(unreadable)?;
        }
    }
    Ok(GeneratedValue {
        value: taken(ctx, observed, &names, whole)?,
        record: record.bounded(&source.keys),
    })
}

fn source(observed: &ObservedSecret) -> Result<&GenerateSource, Failure> {
    match &observed.object.spec.source {
        Source::Generate(source) => Ok(source),
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => Err(Failure::Inconsistent(
            "a generated value for a secret that has another source",
        )),
    }
}

/// Makes the keys of these sources, unless that was refused before.
async fn make(
    ctx: &Ctx,
    observed: &ObservedSecret,
    sources: Vec<(&String, &KeySource)>,
    replaces: PreviousValue<'_>,
    now: Timestamp,
) -> Result<Plain, Failure> {
    let grounds = grounds(observed, sources.iter().map(|(name, _)| *name));
    if let Some(GenerationRefusal { reason, message }) = ctx.refusals.find(&observed.identity.uid, &grounds) {
        return Err(Failure::Refused { reason, message });
    }
    let made = make_anew(ctx, observed, &sources, replaces, now).await;
    made.inspect_err(|failure| remember(ctx, observed, grounds, failure))
}

async fn make_anew(
    ctx: &Ctx,
    observed: &ObservedSecret,
    sources: &[(&String, &KeySource)],
    replaces: PreviousValue<'_>,
    now: Timestamp,
) -> Result<Plain, Failure> {
    let ssh_auth = ssh_auth(observed);
    let kept = kept(source(observed)?, sources, replaces);
    generate::fits(sources.iter().copied(), ssh_auth, kept).map_err(|error| Failure::made(&error))?;
    let authority = authority(ctx, observed, sources, signs(observed, sources)).await?;
    let authority = authority.map(Arc::new);
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
fn kept(source: &GenerateSource, sources: &[(&String, &KeySource)], replaces: PreviousValue<'_>) -> usize {
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
fn taken(ctx: &Ctx, observed: &ObservedSecret, names: &[String], value: Plain) -> Result<Value, Failure> {
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

/// The authority that one of the sources names, if any. The record of its opening says what for.
///
/// INVARIANT: it is the secret of that object, and not one whose name the object claims.
async fn authority(
    ctx: &Ctx,
    observed: &ObservedSecret,
    sources: &[(&String, &KeySource)],
    purpose: String,
) -> Result<Option<Authority>, Failure> {
    let Some(reference) = sources
        .iter()
        .find_map(|(_, source)| generate::authority_reference(source))
    else {
        return Ok(None);
    };
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
    let authority =
        Authority::from_value(&plain(&value), reference.key.as_deref().unwrap_or("ca")).map_err(|error| {
            Failure::Make {
                reason: Reason::AuthorityInvalid,
                message: error.to_string(),
            }
        })?;
    Ok(Some(authority))
}

/// A stored value in the terms of the rules.
pub(super) fn plain(value: &Value) -> Plain {
    value
        .keys()
        .iter()
        .map(|(name, bytes)| {
            (
                name.as_str().to_owned(),
                SecretBytes::from(bytes.expose().to_vec()),
            )
        })
        .collect()
}

/// A made value in the terms of the store.
pub(super) fn stored(value: Plain) -> Result<Value, Failure> {
    let mut keys = BTreeMap::new();
    for (name, bytes) in value {
        let name = DataKeyName::new(&name).map_err(|error| Failure::Make {
            reason: Reason::SourceInvalid,
            message: error.to_string(),
        })?;
        keys.insert(name, SecretBytes::new(bytes.expose().to_vec()));
    }
    Value::from_keys(keys).map_err(|error| Failure::Refused {
        reason: Reason::ValueTooLarge,
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
