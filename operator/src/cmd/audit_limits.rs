//! How much of the audit log is kept, as the command line says it.

use std::str::FromStr;
use std::time::Duration;

use strongroom_crds::period::Period;
use strongroom_store::audit::{Limits, LimitsError, WhenFull};

/// The limits of the audit log.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct AuditLimits {
    /// Cuts audit records that are older, such as 90d, at least 1h; without it they are kept
    #[arg(long, value_name = "TIME")]
    audit_keep_for: Option<Period>,
    /// Cuts the oldest audit records where the log is larger, such as 4Gi; without it they are kept
    #[arg(long, value_name = "SIZE")]
    audit_keep_bytes: Option<Size>,
    /// Size of the audit log at which reads stop, such as 8Gi; without it the volume is the bound
    #[arg(long, value_name = "SIZE")]
    audit_bound: Option<Size>,
    /// What happens at that size
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "stop",
        requires_if("drop-exported", "audit_bound"),
        requires_if("drop-exported", "audit_sink")
    )]
    audit_when_full: Full,
}

/// What happens at the bound
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum Full {
    /// Reads are refused until there is room
    Stop,
    /// The oldest records that every sink has go first; reads are refused where none is left
    DropExported,
}

impl AuditLimits {
    /// The limits, where they can be held.
    pub(super) fn limits(self) -> Result<Limits, LimitsError> {
        let time = |period: Period| Duration::from_secs(period.seconds().unsigned_abs());
        Limits::new(
            self.audit_keep_for.map(time),
            self.audit_keep_bytes.map(|size| size.0),
            self.audit_bound.map(|size| size.0),
            match self.audit_when_full {
                Full::Stop => WhenFull::Stop,
                Full::DropExported => WhenFull::DropExported,
            },
        )
    }
}

/// A number of bytes as Kubernetes writes it: `512Mi`, `4Gi`, `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Size(u64);

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a size is a whole number with Ki, Mi, Gi or Ti, such as `4Gi`")]
struct SizeError;

impl FromStr for Size {
    type Err = SizeError;

    fn from_str(text: &str) -> Result<Self, SizeError> {
        let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
        let (digits, shift) = units
            .iter()
            .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits, *shift)))
            .unwrap_or((text, 0));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(SizeError);
        }
        let number: u64 = digits.parse().map_err(|_| SizeError)?;
        number.checked_mul(1 << shift).map(Self).ok_or(SizeError)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Arguments;
    use super::*;

    #[test]
    fn exported_records_go_only_where_somebody_else_has_them() {
        let parsed = |more: &[&str]| {
            let line = ["strongroom", "serve"].iter().chain(more);
            Arguments::try_parse_from(line).map(drop).is_ok()
        };
        let drop = "--audit-when-full=drop-exported";
        assert!(parsed(&[drop, "--audit-bound=2Mi", "--audit-sink=stdout"]));
        assert!(!parsed(&[drop, "--audit-bound=2Mi"]));
        assert!(!parsed(&[drop, "--audit-sink=stdout"]));
        assert!(parsed(&["--audit-when-full=stop", "--audit-keep-for=90d"]));
        assert!(!parsed(&["--audit-keep-for=90"]) && !parsed(&["--audit-keep-bytes=1G"]));
    }

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("4Gi", 4 << 30),
            ("1048576", 1 << 20),
            ("2Ti", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(Size(bytes)), "{text}");
        }
        for text in ["", "Gi", "4G", "-1Gi", "+1Gi", "1.5Gi", "99999999999Ti", "4 Gi"] {
            assert_eq!(text.parse::<Size>(), Err(SizeError), "{text}");
        }
    }
}
