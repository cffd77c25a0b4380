//! Backups by themselves, as the command line says it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use jiff::SignedDuration;
use strongroom_crds::period::{Period, PeriodError};
use strongroom_rules::backup::BackupLimits;
use strongroom_rules::schedule::Calendar;

use super::CommandError;
use super::data_dir::DataDir;
use crate::backup::{BackupDestination, BackupPlan, BackupSettings, DrillPlan};

/// The longest time between two copies of new reads: with a longer one the alert about their age would always
/// fire.
const MAX_READS_INTERVAL_SECONDS: i64 = 15 * 60;

/// Where backups are, as every command names it.
#[derive(Clone, Debug, clap::Args)]
pub(super) struct BackupAt {
    /// Where backups are: `folder:/PATH`, or a bucket that speaks the protocol of S3:
    /// `s3+https://HOST:PORT/BUCKET/PREFIX?ca=/PATH&credentials=/FOLDER&region=REGION`, on this host also
    /// `s3+http://127.0.0.1:PORT/BUCKET?credentials=/FOLDER`. The folder of credentials has the files
    /// `access-key-id` and `secret-access-key`
    #[arg(long, value_name = "DESTINATION", env = "STRONGROOM_BACKUP_DESTINATION")]
    pub(super) backup_destination: Option<BackupDestination>,
    /// Folder in which drills restore backups, with room for twice the backup; default: `drill` in the data
    /// directory
    #[arg(long, value_name = "PATH", env = "STRONGROOM_DRILL_DIR")]
    drill_dir: Option<PathBuf>,
}

impl BackupAt {
    /// The folder in which drills are held.
    pub(super) fn drills(&self, data_dir: &DataDir) -> PathBuf {
        self.drill_dir
            .clone()
            .unwrap_or_else(|| data_dir.data_dir.join("drill"))
    }
}

/// Scheduled backups and drills.
#[derive(Clone, Debug, clap::Args)]
pub(in crate::cmd) struct BackupArguments {
    #[command(flatten)]
    at: BackupAt,
    /// When a backup is taken, sent to the destination, read back and opened, as a cron expression such as `0
    /// 3 * * *`. One is also taken if there is none, and for a new recovery key; none opens without it
    #[arg(long, value_name = "CRON", requires = "backup_destination")]
    backup_schedule: Option<String>,
    /// Time zone of the schedules of backups and drills, as in `Europe/Berlin`; default: UTC
    #[arg(long, value_name = "ZONE")]
    backup_time_zone: Option<String>,
    /// How many verified backups are kept; 0: any number
    #[arg(long, value_name = "COUNT", default_value_t = 30)]
    backup_keep_count: u32,
    /// Deletes backups older than this, such as 90d; the newest verified one always stays
    #[arg(long, value_name = "TIME")]
    backup_keep_age: Option<Period>,
    /// How often new records of the read chain are copied beside the backups, at most 15m: a disaster costs
    /// no more of them
    #[arg(long, value_name = "TIME", default_value = "5m", value_parser = reads_interval)]
    backup_reads_interval: Period,
    /// The native Secret of the process's own namespace with the credentials of the bucket: no ManagedSecret
    /// may have or import it
    #[arg(long, value_name = "NAME")]
    backup_credentials_secret: Option<String>,
    /// When the newest backup is restored into a place that is thrown away, as a cron expression; default:
    /// never
    #[arg(long, value_name = "CRON", requires = "backup_schedule")]
    drill_schedule: Option<String>,
}

impl BackupArguments {
    /// What is done about backups.
    pub(in crate::cmd) fn settings(self, data_dir: &DataDir) -> Result<BackupSettings, CommandError> {
        let dir = self.at.drills(data_dir);
        let Self {
            at: BackupAt {
                backup_destination,
                drill_dir: _,
            },
            backup_schedule,
            backup_time_zone,
            backup_keep_count,
            backup_keep_age,
            backup_reads_interval,
            backup_credentials_secret,
            drill_schedule,
        } = self;
        let calendar = |argument, cron: &str| {
            Calendar::parse(cron, backup_time_zone.as_deref())
                .map(Arc::new)
                .map_err(|source| CommandError::Schedule { argument, source })
        };
        let drills = match drill_schedule {
            Some(cron) => Some(DrillPlan {
                calendar: calendar("--drill-schedule", &cron)?,
                cron,
                dir,
            }),
            None => None,
        };
        let backups = match backup_schedule.zip(backup_destination) {
            Some((cron, destination)) => Some(BackupPlan {
                calendar: calendar("--backup-schedule", &cron)?,
                cron,
                destination,
                limits: BackupLimits {
                    count: Some(backup_keep_count).filter(|count| *count > 0),
                    age: backup_keep_age.map(|age| SignedDuration::from_secs(age.seconds())),
                },
                reads_interval: Duration::from_secs(backup_reads_interval.seconds().unsigned_abs()),
                drills,
            }),
            None => None,
        };
        Ok(BackupSettings {
            backups,
            reserved_secrets: backup_credentials_secret.into_iter().collect(),
        })
    }
}

fn reads_interval(text: &str) -> Result<Period, String> {
    let period: Period = text.parse().map_err(|error: PeriodError| error.to_string())?;
    if period.seconds() > MAX_READS_INTERVAL_SECONDS {
        return Err("it is at most 15m".to_owned());
    }
    Ok(period)
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::{Arguments, Command};
    use super::*;

    fn settings(more: &[&str]) -> Result<BackupSettings, String> {
        let line = ["strongroom", "serve", "--data-dir=/data"].iter().chain(more);
        let arguments = Arguments::try_parse_from(line).map_err(|error| error.to_string())?;
        let Command::Serve(arguments) = arguments.command else {
            panic!("it is `serve`");
        };
        let data_dir = DataDir {
            data_dir: "/data".into(),
        };
        arguments
            .store
            .backups
            .settings(&data_dir)
            .map_err(|error| error.to_string())
    }

    const DESTINATION: &str = "--backup-destination=folder:/backups";

    #[test]
    fn backups_have_a_schedule_a_destination_and_limits() {
        assert!(settings(&[]).unwrap().backups.is_none());
        assert!(settings(&[DESTINATION]).unwrap().backups.is_none());
        let schedule = "--backup-schedule=0 3 * * *";
        let plan = settings(&[schedule, DESTINATION]).unwrap().backups.unwrap();
        assert_eq!(plan.destination.to_string(), "folder:/backups");
        assert_eq!((plan.limits.count, plan.limits.age), (Some(30), None));
        assert_eq!(plan.reads_interval, Duration::from_secs(300));
        assert!(plan.drills.is_none());

        let more = [
            schedule,
            DESTINATION,
            "--backup-keep-count=0",
            "--backup-keep-age=90d",
            "--backup-reads-interval=90s",
            "--drill-schedule=0 5 * * SUN",
            "--backup-credentials-secret=s3",
        ];
        let settings = settings(&more).unwrap();
        assert_eq!(settings.reserved_secrets, ["s3"]);
        let plan = settings.backups.unwrap();
        let days = SignedDuration::from_hours(90 * 24);
        assert_eq!((plan.limits.count, plan.limits.age), (None, Some(days)));
        assert_eq!(plan.reads_interval, Duration::from_secs(90));
        assert_eq!(plan.drills.unwrap().dir, PathBuf::from("/data/drill"));
    }

    #[test]
    fn what_means_nothing_is_refused_with_its_argument() {
        for (more, told) in [
            (vec!["--backup-schedule=0 3 * * *"], "--backup-destination"),
            (vec!["--drill-schedule=0 3 * * *"], "--backup-schedule"),
            (vec!["--backup-destination=s3://bucket"], "names no destination"),
            (vec!["--backup-reads-interval=16m"], "it is at most 15m"),
            (
                vec![DESTINATION, "--backup-schedule=at night"],
                "--backup-schedule: `at night` is not a cron expression",
            ),
            (
                vec![
                    DESTINATION,
                    "--backup-schedule=0 3 * * *",
                    "--drill-schedule=0 0 31 2 *",
                ],
                "--drill-schedule: `0 0 31 2 *` never occurs",
            ),
        ] {
            let error = settings(&more).unwrap_err();
            assert!(error.contains(told), "{more:?}: {error}");
        }
    }
}
