//! `strongroom drill`: whether a backup comes back.

use std::io::Write;
use std::path::{Path, PathBuf};

use strongroom_store::seal::SealFile;

use super::CommandError;
use super::backup_arguments::BackupAt;
use super::data_dir::DataDir;
use crate::backup::{
    BackupDestination, BackupError, BackupManifest, BackupName, BackupPlace, DrillJob, DrillKey,
    DrillOutcome, newest, read_manifest,
};
use crate::seal::{SealArgs, SealSourceError};

/// Restores a backup into a folder that is thrown away, and opens everything in it
///
/// Takes the newest verified backup at the destination, or the one that is named. Compares what came back
/// with the backup's manifest. The store is not changed, and need not be there. Exits with code 1 if
/// something did not come back.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
    #[command(flatten)]
    at: BackupAt,
    /// The backup at the destination; default: the newest one that was verified
    #[arg(long, value_name = "NAME", conflicts_with = "from")]
    backup: Option<BackupName>,
    /// A file of `strongroom backup` instead
    #[arg(long, value_name = "FILE")]
    from: Option<PathBuf>,
    /// Format of the report
    #[arg(short, long, value_enum, default_value = "text")]
    output: ReportFormat,
}

/// Format of the report
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum ReportFormat {
    /// For people
    Text,
    /// One JSON document
    Json,
}

/// The backup that is tried.
struct ChosenBackup {
    place: BackupPlace,
    object: String,
    manifest: Option<BackupManifest>,
}

pub(super) async fn run(arguments: Arguments, out: &mut impl Write) -> Result<(), CommandError> {
    let Arguments {
        data_dir,
        seal,
        at,
        backup,
        from,
        output,
    } = arguments;
    let secret = seal.source().ok_or(SealSourceError::Unnamed)?.read().await?;
    let dir = at
        .drills(&data_dir)
        .join(format!(".strongroom-drill-{}", std::process::id()));
    let ChosenBackup {
        place,
        object,
        manifest,
    } = match (from, at.backup_destination) {
        (Some(path), _) => file(&path).await?,
        (None, Some(destination)) => at_destination(&destination, backup, &data_dir).await?,
        (None, None) => return Err(CommandError::NoBackupNamed),
    };
    let job = DrillJob {
        place: &place,
        object,
        manifest,
        dir,
        key: DrillKey::Slot(secret),
        now: jiff::Timestamp::now(),
    };
    let outcome = job.hold().await?;
    match output {
        ReportFormat::Text => print(&outcome, out)?,
        ReportFormat::Json => {
            let text = serde_json::to_string_pretty(&outcome).map_err(std::io::Error::other)?;
            writeln!(out, "{text}")?;
        }
    }
    if outcome.sound {
        Ok(())
    } else {
        Err(CommandError::NotRestored)
    }
}

/// A file, and its manifest where that lies beside it.
async fn file(path: &Path) -> Result<ChosenBackup, CommandError> {
    let unreadable = |kind: std::io::ErrorKind| CommandError::Read {
        path: path.display().to_string(),
        source: kind.into(),
    };
    let name = path.file_name().and_then(|name| name.to_str());
    let object = name
        .ok_or_else(|| unreadable(std::io::ErrorKind::InvalidInput))?
        .to_owned();
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let folder = BackupDestination::Folder(parent.unwrap_or(Path::new(".")).to_owned());
    let place = BackupPlace::open(&folder).await?;
    let manifest = match object.parse::<BackupName>() {
        Ok(name) => manifest(&place, &name).await?,
        Err(_) => None,
    };
    Ok(ChosenBackup {
        place,
        object,
        manifest,
    })
}

/// A backup at its destination: the one of this name, or the newest verified one of the store that is here.
async fn at_destination(
    destination: &BackupDestination,
    backup: Option<BackupName>,
    data_dir: &DataDir,
) -> Result<ChosenBackup, CommandError> {
    let place = BackupPlace::open(destination).await?;
    let name = match backup {
        Some(name) => name,
        None => {
            let store = SealFile::load(&data_dir.store()).ok().map(|file| file.store());
            newest(&place, store)
                .await?
                .ok_or_else(|| BackupError::NoBackup {
                    destination: destination.to_string(),
                })?
        }
    };
    let manifest = manifest(&place, &name).await?;
    Ok(ChosenBackup {
        place,
        object: name.to_string(),
        manifest,
    })
}

/// The manifest of a backup; none where there is none.
async fn manifest(place: &BackupPlace, name: &BackupName) -> Result<Option<BackupManifest>, BackupError> {
    match read_manifest(place, name).await {
        Ok(manifest) => Ok(Some(manifest)),
        Err(BackupError::Missing { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

fn print(outcome: &DrillOutcome, out: &mut impl Write) -> std::io::Result<()> {
    writeln!(out, "backup: {}", outcome.backup)?;
    writeln!(out, "store: {}, {} commits", outcome.store, outcome.commits)?;
    if let Some(taken) = &outcome.taken {
        writeln!(out, "taken: {taken:.0}")?;
    }
    writeln!(out, "size: {} bytes, SHA-256 {}", outcome.bytes, outcome.sha256)?;
    writeln!(out, "records: {}, secrets: {}", outcome.records, outcome.secrets)?;
    writeln!(
        out,
        "values opened: {}, under a key that refuses: {}",
        outcome.values, outcome.refused
    )?;
    writeln!(out, "access policies: {}", outcome.policies)?;
    writeln!(out, "recovery keys that open it: {}", outcome.recovery_slots)?;
    if !outcome.compared {
        writeln!(out, "manifest: none, so nothing was compared")?;
    }
    for problem in &outcome.problems {
        writeln!(out, "wrong: {problem}")?;
    }
    writeln!(
        out,
        "{} in {} s",
        if outcome.sound { "restored" } else { "NOT restored" },
        outcome.seconds
    )
}
