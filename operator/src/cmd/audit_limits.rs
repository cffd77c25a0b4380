//! How much of the audit log is kept, as the command line says it.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use strongroom_crds::period::Period;
use strongroom_store::audit::{RetentionLimits, RetentionLimitsError, WhenFull};

/// The limits of the audit log.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct AuditLimits {
    /// Size of the store's volume, such as 2Gi: the audit log is kept up to half of it, three quarters are
    /// its hard limit, and the secrets of one namespace may use a fifth. Default, and upper limit: the size
    /// of the file system
    #[arg(long, value_name = "SIZE")]
    volume_size: Option<VolumeSize>,
    /// Cuts audit records older than this, such as 90d, at least 1h; default: no limit by age
    #[arg(long, value_name = "TIME")]
    audit_keep_for: Option<Period>,
    /// Cuts the oldest audit records if the log is larger than this, such as 4Gi; default: half of the volume
    #[arg(long, value_name = "SIZE")]
    audit_keep_bytes: Option<ByteSize>,
    /// Hard limit for the size of the audit log, such as 8Gi; default: three quarters of the volume
    #[arg(long, value_name = "SIZE")]
    audit_bound: Option<ByteSize>,
    /// What happens at the hard limit
    #[arg(
        long,
        value_enum,
        value_name = "WHAT",
        default_value = "roll",
        requires_if("drop-exported", "audit_sink")
    )]
    audit_when_full: FullPolicy,
}

/// What happens at the bound
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum FullPolicy {
    /// The oldest records are cut, even if a sink has not received them
    Roll,
    /// The oldest records that every sink has received are cut; if there are none, reads are refused
    DropExported,
    /// Reads are refused until there is room
    Stop,
}

impl AuditLimits {
    /// The size of the volume, where something is known of it.
    pub(super) fn volume(self, file_system: Option<u64>) -> Option<u64> {
        let said = self.volume_size.map(|size| size.0);
        said.into_iter().chain(file_system).min()
    }

    /// The limits, where they can be held. `file_system` is the size of the one that the store lies on, where
    /// that is known.
    pub(super) fn limits(self, file_system: Option<u64>) -> Result<RetentionLimits, RetentionLimitsError> {
        let time = |period: Period| Duration::from_secs(period.seconds().unsigned_abs());
        let said = [self.audit_keep_bytes, self.audit_bound].map(|size| size.map(|size| size.0));
        let [keep_bytes, bound] = said;
        let (keep_bytes, bound) = match self.volume(file_system) {
            Some(volume) => {
                let (keep, bound) = RetentionLimits::on_volume(volume, keep_bytes, bound);
                (Some(keep), Some(bound))
            }
            None => (keep_bytes, bound),
        };
        RetentionLimits::new(
            self.audit_keep_for.map(time),
            keep_bytes,
            bound,
            match self.audit_when_full {
                FullPolicy::Roll => WhenFull::Roll,
                FullPolicy::DropExported => WhenFull::DropExported,
                FullPolicy::Stop => WhenFull::Stop,
            },
        )
    }
}

/// The size of the file system at a place; none where it does not say.
pub(super) fn file_system(at: &Path) -> Option<u64> {
    let about = rustix::fs::statvfs(at).ok()?;
    Some(about.f_blocks.saturating_mul(about.f_frsize)).filter(|bytes| *bytes > 0)
}

/// A size of a volume as a claim asks for it, in bytes: `2Gi`, `2G`, `1.5Ti`, `2e9`, `2147483648`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct VolumeSize(u64);

/// A text that is no size of a volume.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write the size of a volume as a number with a Kubernetes unit, such as `2Gi` or `2G`")]
struct VolumeSizeError;

impl FromStr for VolumeSize {
    type Err = VolumeSizeError;

    fn from_str(text: &str) -> Result<Self, VolumeSizeError> {
        let units: [(&str, u64); 12] = [
            ("Ki", 1 << 10),
            ("Mi", 1 << 20),
            ("Gi", 1 << 30),
            ("Ti", 1 << 40),
            ("Pi", 1 << 50),
            ("Ei", 1 << 60),
            ("k", 1_000),
            ("M", 1_000_000),
            ("G", 1_000_000_000),
            ("T", 1_000_000_000_000),
            ("P", 1_000_000_000_000_000),
            ("E", 1_000_000_000_000_000_000),
        ];
        let (number, unit) = units
            .iter()
            .find_map(|(unit, bytes)| text.strip_suffix(unit).map(|number| (number, *bytes)))
            .unwrap_or((text, 1));
        let begins = |byte: u8| byte.is_ascii_digit() || byte == b'.';
        let number = number
            .bytes()
            .next()
            .filter(|byte| begins(*byte))
            .and_then(|_| number.parse::<f64>().ok())
            .ok_or(VolumeSizeError)?;
        bytes_of(number, unit).map(Self).ok_or(VolumeSizeError)
    }
}

/// So many units in bytes, rounded down.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a share of a volume is not told to the byte, and what is out of range is refused"
)]
fn bytes_of(number: f64, unit: u64) -> Option<u64> {
    let bytes = number * unit as f64;
    (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
}

/// A number of bytes as Kubernetes writes it: `512Mi`, `4Gi`, `1048576`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ByteSize(u64);

impl ByteSize {
    /// How many.
    pub(super) const fn bytes(self) -> u64 {
        self.0
    }
}

/// A text that is no size.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("write a size as a whole number with Ki, Mi, Gi or Ti, such as `4Gi`")]
pub(super) struct ByteSizeError;

impl FromStr for ByteSize {
    type Err = ByteSizeError;

    fn from_str(text: &str) -> Result<Self, ByteSizeError> {
        let units = [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40)];
        let (digits, shift) = units
            .iter()
            .find_map(|(unit, shift)| text.strip_suffix(unit).map(|digits| (digits, *shift)))
            .unwrap_or((text, 0));
        if !digits.bytes().all(|byte| byte.is_ascii_digit()) {
            return Err(ByteSizeError);
        }
        let number: u64 = digits.parse().map_err(|_| ByteSizeError)?;
        number.checked_mul(1 << shift).map(Self).ok_or(ByteSizeError)
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Arguments;
    use super::*;

    fn parsed(more: &[&str]) -> Option<AuditLimits> {
        let line = ["strongroom", "serve"].iter().chain(more);
        match Arguments::try_parse_from(line).ok()?.command {
            super::super::Command::Serve(arguments) => Some(arguments.store.audit_limits),
            _ => None,
        }
    }

    #[test]
    fn exported_records_go_only_where_somebody_else_has_them() {
        let parsed = |more: &[&str]| parsed(more).is_some();
        let drop = "--audit-when-full=drop-exported";
        assert!(parsed(&[drop, "--audit-bound=2Mi", "--audit-sink=stdout"]));
        assert!(!parsed(&[drop, "--audit-bound=2Mi"]));
        assert!(parsed(&[drop, "--audit-sink=stdout"]));
        assert!(parsed(&["--audit-when-full=stop", "--audit-keep-for=90d"]));
        assert!(!parsed(&["--audit-keep-for=90"]) && !parsed(&["--audit-keep-bytes=1G"]));
    }

    #[test]
    fn the_log_rolls_within_the_volume_whatever_its_size_and_however_it_is_written() {
        const MIB: u64 = 1 << 20;
        const GIB: u64 = 1 << 30;
        for (size, keep, bound) in [
            ("2Gi", GIB, 3 * GIB / 2),
            ("512Mi", 256 * MIB, 384 * MIB),
            ("2G", 1_000_000_000, 1_500_000_000),
            ("2147483648", GIB, 3 * GIB / 2),
            ("2.147483648e+09", GIB, 3 * GIB / 2),
            ("1.5Gi", 768 * MIB, 1_152 * MIB),
            ("1Ti", 512 * GIB, 768 * GIB),
            // Too small for anything: there is a log all the same, and a file system's own end.
            ("1Mi", MIB, MIB + MIB / 8),
            ("0", MIB, MIB + MIB / 8),
        ] {
            let limits = parsed(&[&format!("--volume-size={size}")])
                .unwrap()
                .limits(None)
                .unwrap();
            assert_eq!(
                (limits.kept_bytes(), limits.bound()),
                (Some(keep), Some(bound)),
                "{size}"
            );
            assert_eq!(limits.when_full(), WhenFull::Roll, "{size}");
        }
        for wrong in [
            "",
            "Gi",
            "2 Gi",
            "-1Gi",
            "2GB",
            "inf",
            "nan",
            "1e400",
            "99999999Ei",
        ] {
            assert_eq!(wrong.parse::<VolumeSize>(), Err(VolumeSizeError), "{wrong}");
        }
    }

    #[test]
    fn a_smaller_file_system_counts_and_what_somebody_said_stays() {
        let limits = |more: &[&str], file_system| {
            let limits = parsed(more).unwrap().limits(file_system).unwrap();
            (limits.kept_bytes(), limits.bound())
        };
        assert_eq!(
            limits(&["--volume-size=2Gi"], Some(1 << 30)),
            (Some(1 << 29), Some(3 << 28))
        );
        assert_eq!(
            limits(&["--volume-size=2Gi"], Some(1 << 40)),
            (Some(1 << 30), Some(3 << 29))
        );
        assert_eq!(limits(&[], Some(1 << 30)), (Some(1 << 29), Some(3 << 28)));
        assert_eq!(limits(&[], None), (None, None));
        let said = [
            "--volume-size=2Gi",
            "--audit-keep-bytes=100Mi",
            "--audit-bound=200Mi",
        ];
        assert_eq!(limits(&said, None), (Some(100 << 20), Some(200 << 20)));
        let dir = tempfile::tempdir().unwrap();
        assert!(file_system(dir.path()).is_some());
    }

    #[test]
    fn sizes_are_read_as_kubernetes_writes_them() {
        for (text, bytes) in [
            ("512Mi", 512 << 20),
            ("4Gi", 4 << 30),
            ("1048576", 1 << 20),
            ("2Ti", 2 << 40),
        ] {
            assert_eq!(text.parse(), Ok(ByteSize(bytes)), "{text}");
        }
        for text in ["", "Gi", "4G", "-1Gi", "+1Gi", "1.5Gi", "99999999999Ti", "4 Gi"] {
            assert_eq!(text.parse::<ByteSize>(), Err(ByteSizeError), "{text}");
        }
    }
}
