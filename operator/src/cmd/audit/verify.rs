//! `strongroom audit verify`: the chains of a store, or the copies of its read chain beside backups.

use std::io::Write;
use std::path::PathBuf;

use strongroom_model::id::StoreId;
use strongroom_store::crypto::PublicKey;

use super::CommandError;
use crate::backup::{BackupDestination, verify_reads};

/// Verifies order and completeness of both chains with the public key alone
///
/// Works on a stopped store or on a copy, and changes nothing. With `--from` it verifies the copies of the
/// read chain that lie beside backups. If the chains are not sound, it names the first bad record, or each
/// bad copy, and exits with 1.
#[derive(Debug, clap::Args)]
pub(in crate::cmd) struct Verify {
    /// Directory of the store or of its copy: the one with `store.redb`
    #[arg(long, value_name = "PATH", required_unless_present = "from")]
    dir: Option<PathBuf>,
    /// Destination of backups, or the folder of a copy of it, with the folder `reads`
    #[arg(long, value_name = "DESTINATION", value_parser = destination_or_folder, conflicts_with = "dir")]
    from: Option<BackupDestination>,
    /// Whose reads, if there are those of several stores
    #[arg(long, value_name = "ID", requires = "from")]
    store: Option<StoreId>,
    /// The key, as `strongroom audit public-key` prints it
    #[arg(long, value_name = "KEY")]
    public_key: PublicKey,
}

impl Verify {
    pub(super) async fn run(self, out: &mut impl Write) -> Result<(), CommandError> {
        let Self {
            dir,
            from,
            store,
            public_key,
        } = self;
        let mut sound = true;
        if let Some(dir) = dir {
            let report = strongroom_store::audit::verify(&dir, &public_key)?;
            writeln!(out, "{report}")?;
            sound = report.is_sound();
        }
        if let Some(from) = from {
            let report = verify_reads(&from, store, public_key).await?;
            writeln!(out, "{report}")?;
            sound = report.is_sound();
        }
        if sound { Ok(()) } else { Err(CommandError::Unsound) }
    }
}

fn destination_or_folder(text: &str) -> Result<BackupDestination, String> {
    if text.starts_with("folder:") || text.starts_with("s3+") {
        return text
            .parse::<BackupDestination>()
            .map_err(|error| error.to_string());
    }
    Ok(BackupDestination::Folder(PathBuf::from(text)))
}
