//! Making values: the generators of `strongroom_rules`, with the operating system's randomness and, where a certificate names one, the
//! authority in another secret of the namespace.

use std::collections::BTreeMap;

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource, ManagedSecret, Source};
use strongroom_rules::cause::Cause;
use strongroom_rules::generate::{
    self, Authority, Differences, Environment, GenerateError, GeneratorRecord, Replaces,
};
use strongroom_rules::managed_secret::renewal::CertificateChange;
use strongroom_rules::value::{KeyBytes, Value as Plain};
use strongroom_store::name::{DataKeyName, SecretName};
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::Value;

use super::observe::Observed;
use super::{Failure, labels};
use crate::controllers::Ctx;
use crate::controllers::store::{SecretStore, View};

/// A value that was made, and how its keys were.
pub(super) struct Made {
    pub(super) value: Value,
    pub(super) record: GeneratorRecord,
}

/// How the keys were made, as labels of the stored secret record it, and the generators that changed since. With another source the value gets keys
/// in another way.
pub(super) fn observe(observed: &mut Observed) {
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
    labels::generators(&mut wanted.labels, &record);
    if let Source::Generate(source) = &observed.object.spec.source {
        let changed = record.changed(&source.keys).into_iter().map(str::to_owned);
        observed.changed_generators = changed.collect();
    }
}

/// How the keys of this value were made, as far as that is known.
///
/// Where nothing is recorded, a secret that was made by its source holds nothing but what that named: what the source names no more has to go. Any
/// other has keys that came another way, and those stay.
pub(super) fn record(source: &GenerateSource, view: &View, value: &Value) -> GeneratorRecord {
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
pub(super) fn was_generated(view: &View) -> bool {
    view.has_version(&Cause::Create.version_id(view.id.as_bytes()))
}

/// How the keys of the value differ from the declared ones.
pub(super) fn differences(source: &GenerateSource, value: &Value, record: &GeneratorRecord) -> Differences {
    generate::differences(&source.keys, &plain(value), record)
}

/// The value of a first version.
pub(super) async fn first<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    now: Timestamp,
) -> Result<Made, Failure> {
    let source = source(observed)?;
    let value = make(
        ctx,
        observed,
        source.keys.iter().collect(),
        Replaces::Nothing,
        now,
    )
    .await?;
    Ok(Made {
        value: stored(value)?,
        record: GeneratorRecord::made(&source.keys),
    })
}

/// The current value as the spec has it now: with the keys that it lacks, with the literals as they are, without the keys that left, and with those
/// made anew for which `again` holds. All others keep their bytes.
pub(super) async fn next<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    (view, current): (&View, &Value),
    again: impl Fn(&str, &KeySource) -> bool,
    now: Timestamp,
) -> Result<Made, Failure> {
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
    let made = make(ctx, observed, sources, Replaces::Rotated(&whole), now).await?;
    whole.overlay(made);
    // After that, because a source with other settings may have made other keys before.
    let removed = generate::differences(&source.keys, &whole, &record).removed;
    for key in &removed {
        whole.remove(key);
    }
    record.forget(removed.iter().map(String::as_str));
    Ok(Made {
        value: stored(whole)?,
        record: record.bounded(&source.keys),
    })
}

/// What a rotation makes anew: the keys that the rotator names, or all that are not literals.
pub(super) fn rotates(named: Option<&Vec<String>>, name: &str, source: &KeySource) -> bool {
    generate::rotates(source) && named.is_none_or(|named| named.iter().any(|key| key == name))
}

/// The current value after this change of its certificate. All other keys stay.
pub(super) async fn certified<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    (view, current): (&View, &Value),
    change: CertificateChange,
    now: Timestamp,
) -> Result<Made, Failure> {
    let source = source(observed)?;
    let (name, x509) = generate::certificate_source(&source.keys)
        .ok_or(Failure::Inconsistent("a certificate without a source"))?;
    let sources: Vec<(&String, &KeySource)> = source.keys.iter().filter(|(key, _)| *key == name).collect();
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
            let made = make(ctx, observed, sources, Replaces::Renewed(&whole), now).await?;
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
    Ok(Made {
        value: stored(whole)?,
        record: record.bounded(&source.keys),
    })
}

fn source(observed: &Observed) -> Result<&GenerateSource, Failure> {
    match &observed.object.spec.source {
        Source::Generate(source) => Ok(source),
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => Err(Failure::Inconsistent(
            "a generated value for a secret that has another source",
        )),
    }
}

/// Makes the keys of these sources.
async fn make<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    sources: Vec<(&String, &KeySource)>,
    replaces: Replaces<'_>,
    now: Timestamp,
) -> Result<Plain, Failure> {
    let authority = authority(ctx, observed, &sources, signs(observed, &sources)).await?;
    let environment = Environment {
        now,
        authority: authority.as_ref(),
        replaces,
        ssh_auth: ssh_auth(observed),
    };
    let mut random = generate::random::system().map_err(|error| Failure::randomness(&error))?;
    generate::generate(sources, &environment, &mut random).map_err(|error| Failure::made(&error))
}

/// Whether the native Secret is of the type that OpenSSH's clients read.
fn ssh_auth(observed: &Observed) -> bool {
    let native = observed.object.spec.secret.as_ref();
    native.and_then(|native| native.type_.as_deref()) == Some("kubernetes.io/ssh-auth")
}

/// What an authority signs and for whom, for the record of the use of its key.
fn signs(observed: &Observed, sources: &[(&String, &KeySource)]) -> String {
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
async fn authority<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
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
        .filter(|view| view.until.is_none())
        .filter(|view| view.object.as_ref().map(|object| &object.uid) == owner.as_ref())
        .ok_or_else(absent)?;
    let version = view.current().ok_or_else(absent)?;
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
        .map(|(name, bytes)| (name.as_str().to_owned(), KeyBytes::from(bytes.expose().to_vec())))
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
    Value::of(keys).map_err(|error| Failure::Make {
        reason: Reason::ValueTooLarge,
        message: error.to_string(),
    })
}

impl Failure {
    /// A generator failed.
    fn made(error: &GenerateError) -> Self {
        let reason = match error {
            GenerateError::TooLarge { .. } => Reason::ValueTooLarge,
            _ if error.needs_person() => Reason::SourceInvalid,
            _ => Reason::GenerateFailed,
        };
        Self::Make {
            reason,
            message: error.to_string(),
        }
    }
}
