//! The answer to a query: pure. Its form is that of GetSecretValue of AWS Secrets Manager, as its agent
//! passes it on (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>),
//! without what is not known here: `ARN` and `CreatedDate`.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use strongroom_api::stream::DeliveredValue;
use strongroom_model::Value;
use strongroom_render::attributes::{RequestedSecret, RequestedVersion};
use strongroom_render::format::quoted;
use zeroize::Zeroizing;

use super::error::{QueryError, printable};
use super::query::Query;
use super::stage;
use super::volume_snapshot::{SnapshotContents, VolumeSnapshot};

/// The key of a secret that has one value only.
const SINGLE_VALUE_KEY: &str = "value";

/// Answers a query out of what a volume shows.
///
/// # Errors
/// A [`QueryError`].
pub(super) fn answer(query: &Query, snapshot: &VolumeSnapshot) -> Result<Zeroizing<String>, QueryError> {
    // First whether the volume has such a secret at all: that does not depend on what happens to be in
    // memory.
    let of_secret = find(&query.secret, snapshot)?;
    let values = match snapshot.contents() {
        SnapshotContents::Nothing => return Err(QueryError::Waiting),
        SnapshotContents::Revoked => return Err(QueryError::Revoked),
        SnapshotContents::Values(values) => values,
    };
    let have: Vec<(&RequestedSecret, &DeliveredValue)> = of_secret
        .into_iter()
        .filter_map(|place| Some((snapshot.wanted.get(place)?, values.get(place)?.as_ref())))
        .collect();
    let (wanted, delivered) = choose(query, &have)?;
    let version_id = delivered.version_id.as_str();
    // Only what the volume follows is known.
    let stages: BTreeSet<&str> = have
        .iter()
        .filter(|(_, delivered)| delivered.version_id == version_id)
        .filter_map(|(wanted, _)| match &wanted.version {
            RequestedVersion::Stage(stage) => Some(stage::aws_name(stage)),
            RequestedVersion::Id(_) => None,
        })
        .collect();
    let mut text = Zeroizing::new(String::with_capacity(answer_capacity(&delivered.value)));
    text.push_str("{\"Name\":");
    quoted(&mut text, &wanted.name);
    text.push_str(",\"VersionId\":");
    quoted(&mut text, version_id);
    text.push_str(",\"VersionStages\":[");
    for (index, stage) in stages.into_iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        quoted(&mut text, stage);
    }
    text.push_str("],");
    value(&mut text, &wanted.name, &delivered.value)?;
    text.push('}');
    Ok(text)
}

/// The places of a secret, in the volume's order.
fn find(asked: &str, snapshot: &VolumeSnapshot) -> Result<Vec<usize>, QueryError> {
    let namespace_of = |wanted: &RequestedSecret| {
        let namespace = wanted.namespace.as_deref().unwrap_or(&snapshot.namespace);
        namespace.to_owned()
    };
    let is_meant = |wanted: &RequestedSecret| {
        let full = asked
            .strip_prefix(&namespace_of(wanted))
            .and_then(|rest| rest.strip_prefix('/'));
        wanted.name == asked || wanted.alias == asked || full == Some(&wanted.name)
    };
    let places = snapshot.wanted.iter().enumerate();
    let meant: Vec<(usize, &RequestedSecret)> = places.filter(|(_, wanted)| is_meant(wanted)).collect();
    let Some((_, first)) = meant.first() else {
        return Err(QueryError::NoSecret(printable(asked)));
    };
    let same =
        |wanted: &RequestedSecret| wanted.name == first.name && namespace_of(wanted) == namespace_of(first);
    if !meant.iter().all(|(_, wanted)| same(wanted)) {
        return Err(QueryError::Ambiguous(printable(asked)));
    }
    // Also those that the volume calls otherwise: another version of the same secret has another alias.
    let places = snapshot.wanted.iter().enumerate();
    Ok(places
        .filter(|(_, wanted)| same(wanted))
        .map(|(place, _)| place)
        .collect())
}

/// The version that is asked for.
fn choose<'a>(
    query: &Query,
    have: &[(&'a RequestedSecret, &'a DeliveredValue)],
) -> Result<(&'a RequestedSecret, &'a DeliveredValue), QueryError> {
    let has_stage = |wanted: &RequestedSecret, stage: &str| match &wanted.version {
        RequestedVersion::Stage(of) => of == stage,
        RequestedVersion::Id(_) => false,
    };
    let fits = |(wanted, delivered): &&(&RequestedSecret, &DeliveredValue)| {
        let version = query
            .version
            .as_ref()
            .is_none_or(|id| *id == delivered.version_id);
        let stage = query.stage.as_ref().is_none_or(|stage| has_stage(wanted, stage));
        version && stage
    };
    let fitting: Vec<_> = have.iter().filter(fits).collect();
    let current = || fitting.iter().find(|(wanted, _)| has_stage(wanted, "Current"));
    match fitting.as_slice() {
        [] => Err(QueryError::NoVersion(printable(&query.secret))),
        [only] => Ok(**only),
        // The same version several times over is one.
        [first, rest @ ..] if rest.iter().all(|(_, it)| it.version_id == first.1.version_id) => Ok(**first),
        // Who does not say which means the current one.
        _ => current()
            .map(|found| **found)
            .ok_or_else(|| QueryError::WhichVersion(printable(&query.secret))),
    }
}

/// A secret of one value is that value; one of several keys is a JSON object of them, as AWS' console writes
/// one.
fn value(text: &mut String, secret: &str, value: &Value) -> Result<(), QueryError> {
    let mut keys = value.iter();
    if let (Some((SINGLE_VALUE_KEY, bytes)), None) = (keys.next(), keys.next()) {
        match std::str::from_utf8(bytes.expose()) {
            Ok(only) => {
                text.push_str("\"SecretString\":");
                quoted(text, only);
            }
            Err(_) => {
                text.push_str("\"SecretBinary\":\"");
                BASE64.encode_append(bytes.expose(), text);
                text.push('"');
            }
        }
        return Ok(());
    }
    let mut object = Zeroizing::new(String::with_capacity(answer_capacity(value)));
    for (name, bytes) in value.iter() {
        let said = std::str::from_utf8(bytes.expose()).map_err(|_| QueryError::NotText {
            secret: secret.to_owned(),
            key: name.to_owned(),
        })?;
        let before = if object.is_empty() { '{' } else { ',' };
        object.push(before);
        quoted(&mut object, name);
        object.push(':');
        quoted(&mut object, said);
    }
    if object.is_empty() {
        object.push('{');
    }
    object.push('}');
    text.push_str("\"SecretString\":");
    quoted(text, &object);
    Ok(())
}

/// Room for an answer, so that no copy of it is left behind by growing: a character may take six, and a
/// backslash among them two again.
fn answer_capacity(value: &Value) -> usize {
    value.size() * 8 + 1_024
}

#[cfg(test)]
mod tests;
