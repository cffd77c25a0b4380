//! Making values: the generators of `strongroom_rules`, with the operating system's randomness and, where a certificate names one, the
//! authority in another secret of the namespace.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use kube::runtime::reflector::ObjectRef;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource, ManagedSecret, Source};
use strongroom_rules::generate::{self, Authority, Environment, GenerateError};
use strongroom_rules::value::{KeyBytes, Value as Plain};
use strongroom_store::name::{DataKeyName, SecretName};
use strongroom_store::secret::SecretBytes;
use strongroom_store::value::Value;

use super::Failure;
use super::observe::Observed;
use crate::controllers::Ctx;
use crate::controllers::store::SecretStore;

/// Whether a rotation has anything to make again.
pub(super) fn rotatable(source: &GenerateSource) -> bool {
    source.keys.values().any(generate::rotates)
}

/// The declared keys that this value lacks.
pub(super) fn missing_keys(source: &GenerateSource, value: &Value) -> Vec<String> {
    let present: BTreeSet<&str> = value.keys().keys().map(DataKeyName::as_str).collect();
    generate::missing(&source.keys, &present)
        .into_iter()
        .map(str::to_owned)
        .collect()
}

/// The value of a first version.
pub(super) async fn first<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    now: Timestamp,
) -> Result<Value, Failure> {
    make(ctx, observed, None, |_| true, now).await
}

/// The current value with the keys that it lacks.
pub(super) async fn with_missing<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    current: &Value,
    now: Timestamp,
) -> Result<Value, Failure> {
    let present: BTreeSet<&str> = current.keys().keys().map(DataKeyName::as_str).collect();
    let source = source(observed)?;
    let missing: BTreeSet<&str> = generate::missing(&source.keys, &present).into_iter().collect();
    make(ctx, observed, Some(current), |name| missing.contains(name), now).await
}

/// The current value with the keys made again that the rotator names, or all that are not literals.
pub(super) async fn rotated<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    current: &Value,
    now: Timestamp,
) -> Result<Value, Failure> {
    let source = source(observed)?;
    let named = observed.rotated_keys.as_ref();
    let again = |name: &str| {
        source.keys.get(name).is_some_and(generate::rotates)
            && named.is_none_or(|named| named.iter().any(|key| key == name))
    };
    make(ctx, observed, Some(current), again, now).await
}

fn source(observed: &Observed) -> Result<&GenerateSource, Failure> {
    match &observed.object.spec.source {
        Source::Generate(source) => Ok(source),
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => Err(Failure::Inconsistent(
            "a generated value for a secret that has another source",
        )),
    }
}

/// Makes the keys for which `chosen` holds and puts them over `base`.
async fn make<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    base: Option<&Value>,
    chosen: impl Fn(&str) -> bool,
    now: Timestamp,
) -> Result<Value, Failure> {
    let source = source(observed)?;
    let sources: Vec<(&String, &KeySource)> = source.keys.iter().filter(|(name, _)| chosen(name)).collect();
    let authority = authority(ctx, observed, &sources).await?;
    let environment = Environment {
        now,
        authority: authority.as_ref(),
    };
    let made = {
        let mut random = generate::random::system().map_err(|error| Failure::randomness(&error))?;
        generate::generate(sources, &environment, &mut random).map_err(|error| Failure::made(&error))?
    };
    let mut whole = base.map(plain).unwrap_or_default();
    whole.overlay(made);
    stored(whole)
}

/// The authority that one of the sources names, if any.
async fn authority<S: SecretStore>(
    ctx: &Ctx<S>,
    observed: &Observed,
    sources: &[(&String, &KeySource)],
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
    let name = object.spec.store_name.unwrap_or_else(|| reference.name.clone());
    let name = SecretName::new(&name).map_err(|error| Failure::Name(error.to_string()))?;
    let namespace = observed.namespace.ok_or_else(absent)?;
    let view = ctx
        .store
        .find(namespace, &name)
        .await?
        .filter(|view| view.until.is_none())
        .ok_or_else(absent)?;
    let version = view.current().ok_or_else(absent)?;
    let value = ctx.store.open(view.id, version).await?;
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
