//! Values of generated secrets: the first one, the next one, and the current one with another certificate.

use jiff::Timestamp;
use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{GenerateSource, KeySource, Source};
use strongroom_rules::cause::Cause;
use strongroom_rules::generate::{self, Differences, GeneratorRecord, PreviousValue};
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::key_generation::{authority, make, taken};
use super::labels;
use super::observed_secret::ObservedSecret;
use super::plain_value::plain;
use super::prepare::{PreparedCertificate, PreparedChange};
use crate::controllers::Ctx;
use crate::controllers::failure::Failure;

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
/// If there is no record, a generated secret holds only keys that its source named, so keys that the source
/// does not name any more are removed. Any other secret has keys of another origin, and those stay.
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
    source: &GenerateSource,
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
    let names: Vec<String> = source.keys.keys().cloned().collect();
    let sources = source.keys.iter().collect();
    let value = make(ctx, observed, source, sources, PreviousValue::Nothing, now).await?;
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
    source: &GenerateSource,
    (view, current): (&SecretView, &Value),
    again: impl Fn(&str, &KeySource) -> bool,
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
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
    let made = make(
        ctx,
        observed,
        source,
        sources,
        PreviousValue::Rotated(&whole),
        now,
    )
    .await?;
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
    source: &GenerateSource,
    changed: &[String],
    again: impl Fn(&str, &KeySource) -> bool,
) -> bool {
    let mut changed = changed.iter();
    changed.any(|name| source.keys.get(name).is_some_and(|source| again(name, source)))
}

/// The current value after this change of its certificate. All other keys stay.
pub(super) async fn certified(
    ctx: &Ctx,
    observed: &ObservedSecret,
    certificate: PreparedCertificate<'_>,
    (view, current): (&SecretView, &Value),
    now: Timestamp,
) -> Result<GeneratedValue, Failure> {
    let PreparedCertificate {
        source,
        name,
        x509,
        change,
    } = certificate;
    let sources: Vec<(&String, &KeySource)> = source.keys.iter().filter(|(key, _)| *key == name).collect();
    let names: Vec<String> = sources.iter().map(|(key, _)| (*key).clone()).collect();
    let mut record = record(source, view, current);
    let mut whole = plain(current);
    let unreadable = || Failure::Make {
        reason: Reason::GenerateFailed,
        message: format!(
            "`{name}.crt` of the current version is no certificate in PEM; rotate the secret to make one"
        ),
    };
    match change {
        PreparedChange::Renew | PreparedChange::SignAnew => {
            // An authority keeps key and name, whatever its settings are by now.
            if x509.is_ca != Some(true) {
                for (name, source) in &sources {
                    record.remade(name, source);
                }
            }
            let made = make(
                ctx,
                observed,
                source,
                sources,
                PreviousValue::Renewed(&whole),
                now,
            )
            .await?;
            whole.overlay(made);
        }
        PreparedChange::FollowAuthority(reference) => {
            let purpose = format!("its roots go to ManagedSecret `{}`", observed.identity.name);
            let authority = authority(ctx, observed, reference, purpose).await?;
            whole = generate::follow_authority(whole, name, &authority).ok_or_else(unreadable)?;
        }
        PreparedChange::DropOldRoots => {
            whole = generate::drop_old_roots(whole, name).ok_or_else(unreadable)?;
        }
    }
    Ok(GeneratedValue {
        value: taken(ctx, observed, &names, whole)?,
        record: record.bounded(&source.keys),
    })
}
