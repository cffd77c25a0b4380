//! The answer to a query: pure. Its form is that of GetSecretValue of AWS Secrets Manager, as its agent passes it on
//! (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>), without what is not known here: `ARN` and
//! `CreatedDate`.

use std::collections::BTreeSet;

use data_encoding::BASE64;
use strongroom_api::stream::Delivered;
use strongroom_render::attributes::{WantedSecret, WantedVersion};
use strongroom_render::format::quoted;
use strongroom_value::Value;
use zeroize::Zeroizing;

use super::query::Query;
use super::refusal::{Refusal, shown};
use super::shelf::{Holds, Shelf};
use super::stage;

/// The key of a secret that has one value only.
const ONLY: &str = "value";

/// Answers a query out of what a volume shows.
///
/// # Errors
/// A [`Refusal`].
pub(super) fn answer(query: &Query, shelf: &Shelf) -> Result<Zeroizing<String>, Refusal> {
    // First whether the volume has such a secret at all: that does not depend on what happens to be in memory.
    let of_secret = find(&query.secret, shelf)?;
    let values = match shelf.holds() {
        Holds::Nothing => return Err(Refusal::Waiting),
        Holds::Revoked => return Err(Refusal::Revoked),
        Holds::Values(values) => values,
    };
    let have: Vec<(&WantedSecret, &Delivered)> = of_secret
        .into_iter()
        .filter_map(|place| Some((shelf.wanted.get(place)?, values.get(place)?.as_ref())))
        .collect();
    let (wanted, delivered) = choose(query, &have)?;
    let version_id = delivered.version_id.as_str();
    // Only what the volume follows is known.
    let stages: BTreeSet<&str> = have
        .iter()
        .filter(|(_, delivered)| delivered.version_id == version_id)
        .filter_map(|(wanted, _)| match &wanted.version {
            WantedVersion::Stage(stage) => Some(stage::theirs(stage)),
            WantedVersion::Id(_) => None,
        })
        .collect();
    let mut text = Zeroizing::new(String::with_capacity(room(&delivered.value)));
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
fn find(asked: &str, shelf: &Shelf) -> Result<Vec<usize>, Refusal> {
    let namespace_of = |wanted: &WantedSecret| {
        let namespace = wanted.namespace.as_deref().unwrap_or(&shelf.namespace);
        namespace.to_owned()
    };
    let is_meant = |wanted: &WantedSecret| {
        let full = asked
            .strip_prefix(&namespace_of(wanted))
            .and_then(|rest| rest.strip_prefix('/'));
        wanted.name == asked || wanted.alias == asked || full == Some(&wanted.name)
    };
    let places = shelf.wanted.iter().enumerate();
    let meant: Vec<(usize, &WantedSecret)> = places.filter(|(_, wanted)| is_meant(wanted)).collect();
    let Some((_, first)) = meant.first() else {
        return Err(Refusal::NoSecret(shown(asked)));
    };
    let same =
        |wanted: &WantedSecret| wanted.name == first.name && namespace_of(wanted) == namespace_of(first);
    if !meant.iter().all(|(_, wanted)| same(wanted)) {
        return Err(Refusal::Ambiguous(shown(asked)));
    }
    // Also those that the volume calls otherwise: another version of the same secret has another alias.
    let places = shelf.wanted.iter().enumerate();
    Ok(places
        .filter(|(_, wanted)| same(wanted))
        .map(|(place, _)| place)
        .collect())
}

/// The version that is asked for.
fn choose<'a>(
    query: &Query,
    have: &[(&'a WantedSecret, &'a Delivered)],
) -> Result<(&'a WantedSecret, &'a Delivered), Refusal> {
    let has_stage = |wanted: &WantedSecret, stage: &str| match &wanted.version {
        WantedVersion::Stage(of) => of == stage,
        WantedVersion::Id(_) => false,
    };
    let fits = |(wanted, delivered): &&(&WantedSecret, &Delivered)| {
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
        [] => Err(Refusal::NoVersion(shown(&query.secret))),
        [only] => Ok(**only),
        // The same version several times over is one.
        [first, rest @ ..] if rest.iter().all(|(_, it)| it.version_id == first.1.version_id) => Ok(**first),
        // Who does not say which means the current one.
        _ => current()
            .map(|found| **found)
            .ok_or_else(|| Refusal::WhichVersion(shown(&query.secret))),
    }
}

/// A secret of one value is that value; one of several keys is a JSON object of them, as AWS' console writes one.
fn value(text: &mut String, secret: &str, value: &Value) -> Result<(), Refusal> {
    let mut keys = value.iter();
    if let (Some((ONLY, bytes)), None) = (keys.next(), keys.next()) {
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
    let mut object = Zeroizing::new(String::with_capacity(room(value)));
    for (name, bytes) in value.iter() {
        let said = std::str::from_utf8(bytes.expose()).map_err(|_| Refusal::NotText {
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

/// Room for an answer, so that no copy of it is left behind by growing: a character may take six, and a backslash among them two again.
fn room(value: &Value) -> usize {
    value.size() * 8 + 1_024
}

#[cfg(test)]
mod tests;
