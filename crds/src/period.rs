//! A length of time as people write it: one whole number and one unit, `90m`, `12h`, `30d`, `2w`.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The pattern that the API server checks; [`Period::from_str`] accepts exactly the same texts.
const PATTERN: &str = "^[1-9][0-9]{0,4}[smhdw]$";

/// What the API server checks of a recovery window: whole days, as many as
/// [`strongroom_model::RECOVERY_WINDOW_DAYS`] has.
pub(crate) const RECOVERY_WINDOW_RULE: &str = "self.matches('^([7-9]|[12][0-9]|30)d$')";

/// One whole number of seconds, minutes, hours, days (of 24 hours) or weeks; never zero.
///
/// It prints as it was written: `24h` stays `24h`, although it equals `1d` in seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Period {
    count: u32,
    unit: Unit,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Unit {
    Second,
    Minute,
    Hour,
    Day,
    Week,
}

/// A text that is not a [`Period`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PeriodError {
    text: String,
}

impl Period {
    /// A period of whole days, 1 to 99999.
    #[must_use]
    pub const fn days(days: u16) -> Self {
        Self {
            count: if days == 0 { 1 } else { days as u32 },
            unit: Unit::Day,
        }
    }

    /// The length in seconds; at most 99999 weeks, so it always fits.
    #[must_use]
    pub const fn seconds(self) -> i64 {
        let unit: i64 = match self.unit {
            Unit::Second => 1,
            Unit::Minute => 60,
            Unit::Hour => 3_600,
            Unit::Day => 86_400,
            Unit::Week => 604_800,
        };
        self.count as i64 * unit
    }

    /// The length in whole days, rounded down.
    #[must_use]
    pub const fn whole_days(self) -> i64 {
        self.seconds() / 86_400
    }
}

impl FromStr for Period {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        let refuse = || PeriodError {
            text: text.chars().take(32).collect(),
        };
        let unit = match text.bytes().last() {
            Some(b's') => Unit::Second,
            Some(b'm') => Unit::Minute,
            Some(b'h') => Unit::Hour,
            Some(b'd') => Unit::Day,
            Some(b'w') => Unit::Week,
            _ => return Err(refuse()),
        };
        let digits = text.get(..text.len() - 1).ok_or_else(refuse)?;
        let plain =
            digits.len() <= 5 && !digits.starts_with('0') && digits.bytes().all(|b| b.is_ascii_digit());
        if !plain {
            return Err(refuse());
        }
        let count = digits.parse().map_err(|_| refuse())?;
        Ok(Self { count, unit })
    }
}

impl fmt::Display for Period {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let unit = match self.unit {
            Unit::Second => 's',
            Unit::Minute => 'm',
            Unit::Hour => 'h',
            Unit::Day => 'd',
            Unit::Week => 'w',
        };
        write!(f, "{}{unit}", self.count)
    }
}

impl fmt::Display for PeriodError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "`{}` is not a length of time: write a whole number and one of s, m, h, d, w, as in `30d`",
            self.text
        )
    }
}

impl std::error::Error for PeriodError {}

impl Serialize for Period {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Period {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for Period {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Period".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 6, "pattern": PATTERN})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_it_prints() {
        for text in ["1s", "90m", "12h", "30d", "2w", "99999w"] {
            let period: Period = text.parse().expect(text);
            assert_eq!(period.to_string(), text);
        }
        assert_eq!("2w".parse::<Period>().map(Period::seconds), Ok(14 * 86_400));
        assert_eq!("36h".parse::<Period>().map(Period::whole_days), Ok(1));
    }

    #[test]
    fn refuses_what_the_pattern_refuses() {
        for text in [
            "", "d", "0d", "07d", "1.5h", "-1d", "+1d", "1 d", "1D", "100000s", "1d12h", "30", "1µ", "١d",
        ] {
            assert!(text.parse::<Period>().is_err(), "{text}");
        }
    }
}
