//! `strongroom backup`: an encrypted backup of now, from the running process.

use std::io::IsTerminal;
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use tokio::fs::{File, OpenOptions};

use super::CommandError;
use super::data_dir::DataDir;
use crate::admin::Client;

/// Takes an encrypted backup from the running process
///
/// The backup is a consistent snapshot of the store. The key of any seal slot that exists now opens it. The
/// key itself is not in it: keep that elsewhere.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    /// Where the backup goes; `-` is standard output
    #[arg(long, value_name = "FILE|-")]
    to: PathBuf,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let dir = arguments.data_dir.store();
    if arguments.to == Path::new("-") {
        if std::io::stdout().is_terminal() {
            return Err(CommandError::Terminal);
        }
        // The descriptor itself, without the line buffer that text gets.
        let out = std::fs::File::from(std::io::stdout().as_fd().try_clone_to_owned()?);
        connect(&dir).await?.backup(&mut File::from_std(out)).await?;
        return Ok(());
    }
    to_file(&dir, &arguments.to).await
}

/// The file gets its name once it is whole and durable: what has the name is a backup.
async fn to_file(dir: &Path, path: &Path) -> Result<(), CommandError> {
    if path.exists() {
        return Err(CommandError::Exists(path.display().to_string()));
    }
    let client = connect(dir).await?;
    let mut partial = path.as_os_str().to_owned();
    partial.push(".partial");
    let partial = PathBuf::from(partial);
    let cannot = |source| CommandError::Write {
        path: path.display().to_string(),
        source,
    };
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&partial)
        .await
        .map_err(cannot)?;
    let taken = async {
        client.backup(&mut file).await?;
        file.sync_all().await.map_err(cannot)?;
        tokio::fs::rename(&partial, path).await.map_err(cannot)?;
        sync_parent(path).await.map_err(cannot)
    };
    let outcome: Result<(), CommandError> = taken.await;
    if outcome.is_err() {
        // Half a backup is of no use; that it stays would be the smaller evil.
        let _ = tokio::fs::remove_file(&partial).await;
    }
    outcome
}

/// IMPORTANT: the rename is durable only once the directory is.
async fn sync_parent(path: &Path) -> std::io::Result<()> {
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    File::open(parent.unwrap_or(Path::new(".")))
        .await?
        .sync_all()
        .await
}

async fn connect(dir: &Path) -> Result<Client, CommandError> {
    Client::connect(dir)
        .await?
        .ok_or_else(|| CommandError::NotRunning(dir.display().to_string()))
}
