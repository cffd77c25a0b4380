//! Which version a pod has of a native Secret, by what its spec says and when it started. Kubernetes itself
//! does not report it.
//!
//! A variable and a file below a `subPath` are set when their container starts, and stay
//! (<https://kubernetes.io/docs/concepts/configuration/secret/#using-secrets-as-environment-variables>). A
//! volume follows: kubelet looks at it again about once a minute, from what its watch has brought. Where that
//! leaves doubt, the older version counts: whoever retires it early breaks something.

use jiff::{SignedDuration, Timestamp};

/// How much later than a write a container may start and still have what was there before.
const START_MARGIN: SignedDuration = SignedDuration::from_secs(5);
/// After so long a volume follows: kubelet's round of a minute and half of one more by chance, and its watch.
const VOLUME_SYNC_PERIOD: SignedDuration = SignedDuration::from_secs(120);

/// A version that a native Secret does not hold any more.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReplacedVersion {
    /// Id of the version.
    pub version: String,
    /// When another one took its place.
    pub until: Timestamp,
}

/// How a pod uses a native Secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum SecretUse {
    /// As it was when this container started.
    AtStart(Timestamp),
    /// As a volume that follows, since the pod started.
    Followed(Timestamp),
}

impl SecretUse {
    /// Since when.
    #[must_use]
    pub const fn since(self) -> Timestamp {
        match self {
            Self::AtStart(since) | Self::Followed(since) => since,
        }
    }
}

/// The version that a pod has, of a native Secret that holds `current` and held `former`, the newest first.
#[must_use]
pub fn version<'a>(
    current: &'a str,
    former: &'a [ReplacedVersion],
    used: SecretUse,
    now: Timestamp,
) -> &'a str {
    let as_of = match used {
        SecretUse::AtStart(start) => start - START_MARGIN,
        SecretUse::Followed(start) => (start - START_MARGIN).max(now - VOLUME_SYNC_PERIOD),
    };
    former
        .iter()
        .rev()
        .find(|former| as_of < former.until)
        .map_or(current, |former| &former.version)
}

/// When a volume that follows has another version than now, if nothing more is written.
#[must_use]
pub fn settles(former: &[ReplacedVersion], used: SecretUse, now: Timestamp) -> Option<Timestamp> {
    let SecretUse::Followed(_) = used else { return None };
    let newest = former.first()?.until + VOLUME_SYNC_PERIOD;
    (newest > now).then_some(newest)
}

/// The versions that a native Secret does not hold any more, after it came to hold `current` in place of
/// `before`: at most `most`, the newest first. Whoever is older than the oldest that is left counts for that
/// one.
#[must_use]
pub fn replaced_versions(
    former: Vec<ReplacedVersion>,
    before: Option<&str>,
    current: &str,
    now: Timestamp,
    most: usize,
) -> Vec<ReplacedVersion> {
    let Some(before) = before.filter(|before| *before != current && !before.is_empty()) else {
        return former;
    };
    let left = ReplacedVersion {
        version: before.to_owned(),
        until: now,
    };
    std::iter::once(left).chain(former).take(most).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_second(seconds).unwrap()
    }

    fn former(version: &str, until: i64) -> ReplacedVersion {
        ReplacedVersion {
            version: version.to_owned(),
            until: at(until),
        }
    }

    #[test]
    fn what_is_set_at_the_start_stays() {
        let formers = [former("v-2", 2_000), former("v-1", 1_000)];
        for (start, expected) in [
            (0, "v-1"),
            (999, "v-1"),
            // Too soon after the write to be sure.
            (1_004, "v-1"),
            (1_005, "v-2"),
            (2_004, "v-2"),
            (2_005, "v-3"),
            (9_000, "v-3"),
        ] {
            let used = SecretUse::AtStart(at(start));
            assert_eq!(version("v-3", &formers, used, at(10_000)), expected, "{start}");
            assert_eq!(settles(&formers, used, at(2_001)), None);
        }
        assert_eq!(version("v-1", &[], SecretUse::AtStart(at(0)), at(1)), "v-1");
    }

    #[test]
    fn a_volume_follows_after_two_minutes_or_with_a_new_pod() {
        let formers = [former("v-2", 2_000), former("v-1", 1_000)];
        for (start, now, expected) in [
            (0, 2_001, "v-2"),
            (0, 2_119, "v-2"),
            (0, 2_120, "v-3"),
            (2_010, 2_011, "v-3"),
            (2_002, 2_011, "v-2"),
            (0, 1_001, "v-1"),
        ] {
            let used = SecretUse::Followed(at(start));
            assert_eq!(version("v-3", &formers, used, at(now)), expected, "{start} {now}");
        }
        let used = SecretUse::Followed(at(0));
        assert_eq!(settles(&formers, used, at(2_001)), Some(at(2_120)));
        assert_eq!(settles(&formers, used, at(2_120)), None);
        assert_eq!(settles(&[], used, at(2_120)), None);
    }

    #[test]
    fn what_was_held_before_is_kept_for_a_while() {
        let none = replaced_versions(Vec::new(), None, "v-1", at(1), 2);
        assert_eq!(none, []);
        assert_eq!(replaced_versions(none, Some("v-1"), "v-1", at(2), 2), []);
        let one = replaced_versions(Vec::new(), Some("v-1"), "v-2", at(3), 2);
        assert_eq!(one, [former("v-1", 3)]);
        let two = replaced_versions(one, Some("v-2"), "v-3", at(4), 2);
        let three = replaced_versions(two, Some("v-3"), "v-4", at(5), 2);
        assert_eq!(three, [former("v-3", 5), former("v-2", 4)]);
    }
}
