//! Numbers about backups and drills, for Prometheus.

use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::drill::DrillOutcome;
use super::manifest::BackupManifest;

strongroom_process::metrics! {
    /// All of them; cheap to clone.
    #[derive(Clone)]
    pub(crate) struct BackupMetrics {
        /// 1 while backups are taken on a schedule.
        scheduled: Gauge = "backup_scheduled",
        /// When the newest verified backup was taken, seconds since the epoch; 0: there is none, or the
        /// destination was not read yet.
        newest: Gauge<f64, AtomicU64> = "backup_newest_verified_timestamp_seconds",
        /// When the next backup is due, seconds since the epoch; it is late once that is long past.
        due: Gauge<f64, AtomicU64> = "backup_due_timestamp_seconds",
        /// Bytes of the newest verified backup.
        bytes: Gauge = "backup_bytes",
        /// Verified backups since the process started.
        taken: Counter = "backups_verified",
        /// Attempts that failed, by `step`: `list` (what lies at the destination), `take` (sent, read back
        /// and opened), `reads` (copies of the read chain), `retention` (old ones deleted), `drill`.
        failures: Family<FailureLabel, Counter> = "backup_failures",
        /// When an attempt last failed, seconds since the epoch; 0: none did since the process started.
        failed: Gauge<f64, AtomicU64> = "backup_last_failure_timestamp_seconds",
        /// Up to when all signed records of the read chain lie at the destination, seconds since the epoch;
        /// 0: not known yet.
        reads_copied: Gauge<f64, AtomicU64> = "backup_reads_copied_timestamp_seconds",
        /// Recovery slots of the seal: without one, a backup is lost with the cluster.
        recovery_slots: Gauge = "seal_recovery_slots",
        /// When a drill last succeeded, seconds since the epoch; 0: none did.
        drilled: Gauge<f64, AtomicU64> = "drill_last_success_timestamp_seconds",
        /// When a drill last failed, seconds since the epoch; 0: none did since the process started.
        drill_failed: Gauge<f64, AtomicU64> = "drill_last_failure_timestamp_seconds",
        /// How long the last drill took.
        drill_seconds: Gauge = "drill_duration_seconds",
    }
}

strongroom_process::labels! {
    struct FailureLabel {
        step: &'static str,
    }
}

fn seconds(at: Timestamp) -> f64 {
    at.as_duration().as_secs_f64()
}

fn gauge(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

impl BackupMetrics {
    pub(super) fn scheduled(&self) {
        self.scheduled.set(1);
    }

    pub(super) fn recovery_slots(&self, slots: usize) {
        self.recovery_slots.set(gauge(slots as u64));
    }

    pub(super) fn newest(&self, manifest: &BackupManifest) {
        self.newest.set(seconds(manifest.taken));
        self.bytes.set(gauge(manifest.bytes));
    }

    pub(super) fn taken(&self) {
        self.taken.inc();
    }

    pub(super) fn due(&self, at: Timestamp) {
        self.due.set(seconds(at));
    }

    pub(super) fn failed(&self, step: &'static str, at: Timestamp) {
        self.failures.get_or_create(&FailureLabel { step }).inc();
        self.failed.set(seconds(at));
    }

    pub(super) fn reads_copied(&self, at: Timestamp) {
        self.reads_copied.set(seconds(at));
    }

    /// A drill of which was known from before.
    pub(super) fn drilled(&self, at: Timestamp) {
        self.drilled.set(seconds(at));
    }

    pub(super) fn drill_ended(&self, outcome: &DrillOutcome) {
        self.drill_seconds.set(gauge(outcome.seconds));
    }

    pub(super) fn drill_failed(&self, at: Timestamp) {
        self.drill_failed.set(seconds(at));
    }
}
