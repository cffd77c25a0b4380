//! Conditions: the address that a request comes from, and the time. Every other one is refused, because
//! without it an Allow would be for more, and a Deny for more than its author wanted.

use std::net::IpAddr;

use jiff::Timestamp;
use strongroom_crds::Time;
use strongroom_crds::v1alpha1::PolicyConditions;

use super::document::{Located, RamCondition, Texts};
use super::error::{RamPolicyError, RamPolicyReason, quoted};

/// Most ranges of addresses of a statement.
const RANGES: usize = 16;
/// The key of the address.
const SOURCE: &str = "acs:SourceIp";
/// The key of the time.
const NOW: &str = "acs:CurrentTime";
const IN_RANGE: &str = "IpAddress";
const AFTER: &str = "DateGreaterThan";
const FROM: &str = "DateGreaterThanEquals";
const BEFORE: &str = "DateLessThan";

/// What must hold, said as here; none where nothing must.
pub(super) fn import(
    all: &Located<Vec<RamCondition<'_>>>,
) -> Result<Option<PolicyConditions>, RamPolicyError> {
    let mut conditions = PolicyConditions::default();
    for condition in &all.value {
        let RamCondition {
            operator,
            key,
            values,
        } = condition;
        match (*operator, *key) {
            (IN_RANGE, SOURCE) => {
                once(values, conditions.source_ranges.is_none())?;
                conditions.source_ranges = Some(ranges(values)?);
            }
            // To the second, both are the same.
            (AFTER | FROM, NOW) => {
                once(values, conditions.not_before.is_none())?;
                conditions.not_before = Some(Time(time(values)?));
            }
            (BEFORE, NOW) => {
                once(values, conditions.not_after.is_none())?;
                conditions.not_after = Some(Time(time(values)?));
            }
            _ => {
                return Err(values.error(RamPolicyReason::Condition {
                    operator: quoted(operator),
                    key: quoted(key),
                }));
            }
        }
    }
    if let (Some(from), Some(until)) = (&conditions.not_before, &conditions.not_after)
        && from >= until
    {
        return Err(all.error(RamPolicyReason::Interval));
    }
    Ok(Some(conditions).filter(|conditions| *conditions != PolicyConditions::default()))
}

fn once(values: &Texts<'_>, is_first: bool) -> Result<(), RamPolicyError> {
    if is_first {
        Ok(())
    } else {
        Err(values.error(RamPolicyReason::RepeatedCondition))
    }
}

fn ranges(values: &Texts<'_>) -> Result<Vec<String>, RamPolicyError> {
    let mut ranges: Vec<String> = Vec::new();
    for text in &values.value {
        if !is_range(text.value) {
            return Err(text.error(RamPolicyReason::Range(quoted(text.value))));
        }
        if !ranges.iter().any(|known| known == text.value) {
            ranges.push(text.value.to_owned());
        }
    }
    if ranges.len() > RANGES {
        return Err(values.error(RamPolicyReason::TooMany {
            count: ranges.len(),
            most: RANGES,
        }));
    }
    Ok(ranges)
}

/// Whether a text is an address, or a range with a length of prefix that has no leading zero. An IPv4 address
/// inside an IPv6 one is none: callers are seen by the former, which such a range would not have.
fn is_range(text: &str) -> bool {
    let (address, length) = match text.split_once('/') {
        Some((address, length)) => (address, Some(length)),
        None => (text, None),
    };
    let Ok(address) = address.parse::<IpAddr>() else {
        return false;
    };
    if address.to_canonical() != address {
        return false;
    }
    let most: u8 = if address.is_ipv4() { 32 } else { 128 };
    length.is_none_or(|text| {
        let bits = text.parse::<u8>();
        bits.is_ok_and(|bits| bits <= most && bits.to_string() == text)
    })
}

/// The one time of a condition, in whole seconds: a SecretPolicy has no parts of them.
fn time(values: &Texts<'_>) -> Result<Timestamp, RamPolicyError> {
    let [text] = values.value.as_slice() else {
        return Err(values.error(RamPolicyReason::Type("one time")));
    };
    let time = text.value.parse::<Timestamp>().ok();
    let is_whole = |time: &Timestamp| time.subsec_nanosecond() == 0 && time.as_second() >= 0;
    time.filter(is_whole)
        .ok_or_else(|| text.error(RamPolicyReason::Time(quoted(text.value))))
}

/// A condition as RAM has it: operator, key, values.
pub(super) type ExportedCondition = (&'static str, &'static str, Vec<String>);

/// The conditions of RAM that say the same, or the field for which there is none.
pub(super) fn export(conditions: &PolicyConditions) -> Result<Vec<ExportedCondition>, &'static str> {
    let PolicyConditions {
        stages,
        versions,
        not_before,
        not_after,
        window,
        pod_labels,
        node_labels,
        source_ranges,
    } = conditions;
    let unknown = [
        ("stages", stages.is_some()),
        ("versions", versions.is_some()),
        ("window", window.is_some()),
        ("podLabels", pod_labels.is_some()),
        ("nodeLabels", node_labels.is_some()),
    ];
    if let Some((field, _)) = unknown.into_iter().find(|(_, is_set)| *is_set) {
        return Err(field);
    }
    let ranges = source_ranges.clone().map(|ranges| (IN_RANGE, SOURCE, ranges));
    let from = not_before
        .as_ref()
        .map(|time| (FROM, NOW, vec![time.0.to_string()]));
    let until = not_after
        .as_ref()
        .map(|time| (BEFORE, NOW, vec![time.0.to_string()]));
    Ok([ranges, from, until].into_iter().flatten().collect())
}
