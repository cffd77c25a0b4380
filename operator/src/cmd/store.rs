//! `strongroom store check`: every record of a stopped store or a copy.

use std::io::Write;
use std::path::PathBuf;

use strongroom_store::seal::SealFile;
use strongroom_store::vault::check;

use super::CommandError;
use crate::seal::SealArgs;

/// Looks at the store's file
#[derive(Debug, clap::Subcommand)]
pub(super) enum Arguments {
    Check(Check),
}

/// Reads everything and says what is damaged
///
/// Works on a stopped store and on a copy; changes no byte of it. Without a key it checks what the engine
/// can: every page's checksum. With the key of a slot it also proves that no record is missing, added or
/// changed, and opens every value.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Directory of the store or of its copy: the one with `store.redb`
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    #[command(flatten)]
    seal: SealArgs,
}

pub(super) async fn run(arguments: Arguments, out: &mut impl Write) -> Result<(), CommandError> {
    let Arguments::Check(Check { dir, seal }) = arguments;
    let root = match seal.source() {
        Some(source) => Some(SealFile::load(&dir)?.unlock(&source.read().await?)?),
        None => None,
    };
    let report = check(&dir, root.as_ref())?;
    writeln!(out, "{report}")?;
    if report.is_sound() {
        Ok(())
    } else {
        Err(CommandError::Damaged)
    }
}
