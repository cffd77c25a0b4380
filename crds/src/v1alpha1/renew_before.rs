//! When a certificate is renewed.

use std::fmt;
use std::str::FromStr;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::period::{Period, PeriodError};

const NEVER: &str = "never";

/// How long before its end a certificate is renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RenewBefore {
    /// Not by itself.
    Never,
    /// So long before.
    Before(Period),
}

impl FromStr for RenewBefore {
    type Err = PeriodError;

    fn from_str(text: &str) -> Result<Self, PeriodError> {
        if text == NEVER {
            return Ok(Self::Never);
        }
        text.parse().map(Self::Before)
    }
}

impl fmt::Display for RenewBefore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Never => f.write_str(NEVER),
            Self::Before(period) => period.fmt(f),
        }
    }
}

impl Serialize for RenewBefore {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for RenewBefore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?
            .parse()
            .map_err(de::Error::custom)
    }
}

impl JsonSchema for RenewBefore {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "RenewBefore".into()
    }

    fn inline_schema() -> bool {
        true
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({"type": "string", "maxLength": 6, "pattern": "^(never|[1-9][0-9]{0,4}[smhdw])$"})
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_reads_what_it_prints_and_refuses_the_rest() {
        for text in ["never", "30d", "8h"] {
            assert_eq!(text.parse::<RenewBefore>().expect(text).to_string(), text);
        }
        for text in ["Never", "", "0d", "always", "30"] {
            assert!(text.parse::<RenewBefore>().is_err(), "{text}");
        }
    }
}
