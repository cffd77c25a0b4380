//! What a backup is called at its destination: `strongroom-STORE-20261124T030000123Z.backup`, and its
//! manifest the same with `.json`.

use std::fmt;
use std::str::FromStr;

use jiff::Timestamp;
use jiff::civil::DateTime;
use jiff::tz::TimeZone;
use strongroom_model::id::StoreId;

const PREFIX: &str = "strongroom-";
const SUFFIX: &str = ".backup";
const MANIFEST_SUFFIX: &str = ".json";
/// To the second; three digits of milliseconds and a `Z` follow.
const TIME: &str = "%Y%m%dT%H%M%S";
/// Length of a time so written.
const TIME_BYTES: usize = 15;

/// Which store was backed up, and when: backups of a store are sorted by it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BackupName {
    /// The store that it was taken from.
    pub(crate) store: StoreId,
    /// When, to the millisecond.
    pub(crate) taken: Timestamp,
}

impl BackupName {
    /// The name of its manifest.
    pub(crate) fn manifest(&self) -> String {
        format!("{}{MANIFEST_SUFFIX}", self.stem())
    }

    fn stem(&self) -> String {
        format!("{PREFIX}{}-{}", self.store, time_text(self.taken))
    }
}

/// A time as names have it: they sort by it.
pub(super) fn time_text(time: Timestamp) -> String {
    let millis = time.as_millisecond().rem_euclid(1_000);
    format!("{}{millis:03}Z", time.strftime(TIME))
}

impl fmt::Display for BackupName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{SUFFIX}", self.stem())
    }
}

/// A text that is no name of a backup.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no name of a backup; they are called `strongroom-STORE-TIME.backup`")]
pub(crate) struct BackupNameError(String);

impl FromStr for BackupName {
    type Err = BackupNameError;

    fn from_str(text: &str) -> Result<Self, BackupNameError> {
        parse(text).ok_or_else(|| BackupNameError(text.chars().take(128).collect()))
    }
}

fn parse(text: &str) -> Option<BackupName> {
    let stem = text.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let (store, time) = stem.split_once('-')?;
    Some(BackupName {
        store: store.parse().ok()?,
        taken: parse_time(time)?,
    })
}

/// What [`time_text`] wrote.
pub(super) fn parse_time(text: &str) -> Option<Timestamp> {
    let (second, millis) = text.strip_suffix('Z')?.split_at_checked(TIME_BYTES)?;
    let millis: i64 = Some(millis)
        .filter(|millis| millis.len() == 3 && millis.bytes().all(|byte| byte.is_ascii_digit()))?
        .parse()
        .ok()?;
    let second = DateTime::strptime(TIME, second).ok()?;
    let second = second.to_zoned(TimeZone::UTC).ok()?.timestamp();
    Timestamp::from_millisecond(second.as_millisecond().checked_add(millis)?).ok()
}

/// Whether a file of a folder is half a backup or manifest: the library writes beside the name, which it
/// extends by `#` and a number.
pub(super) fn is_leftover(name: &str) -> bool {
    name.starts_with(PREFIX)
        && name.rsplit_once('#').is_some_and(|(name, number)| {
            (name.ends_with(SUFFIX) || name.ends_with(MANIFEST_SUFFIX)) && number.parse::<u32>().is_ok()
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_read_as_it_is_written() {
        let name = BackupName {
            store: StoreId::from_bytes([0xab; 16]),
            taken: "2026-11-24T03:00:00.007Z".parse().unwrap(),
        };
        let text = format!("strongroom-{}-20261124T030000007Z.backup", "ab".repeat(16));
        assert_eq!(name.to_string(), text);
        assert_eq!(text.parse(), Ok(name.clone()));
        assert_eq!(name.manifest(), text.replace(".backup", ".json"));
        for other in [
            "",
            "strongroom-x-20261124T030000007Z.backup",
            &text.replace(".backup", ".json"),
            &text.replace("007", "7"),
            &text.replace("1124", "1324"),
            &text.replace('Z', ""),
        ] {
            assert!(other.parse::<BackupName>().is_err(), "{other}");
        }
    }

    #[test]
    fn what_a_killed_process_left_is_known() {
        for (name, left) in [
            ("strongroom-a-b.backup#1", true),
            ("strongroom-a-b.json#12", true),
            ("strongroom-a-b.backup", false),
            ("strongroom-a-b.backup#new", false),
            ("mine.backup#1", false),
        ] {
            assert_eq!(is_leftover(name), left, "{name}");
        }
    }
}
