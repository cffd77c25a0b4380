//! `strongroom store`: the file of a stopped store is looked at, or written anew.

use std::io::Write;
use std::path::PathBuf;

use strongroom_store::seal::SealFile;
use strongroom_store::vault;

use super::{CommandError, rekey};
use crate::seal::{SealArgs, SealSourceError};

/// Inspects the store's file, or writes it anew
#[derive(Debug, clap::Subcommand)]
pub(super) enum Arguments {
    Check(Check),
    Compact(Compact),
    Rekey(Box<rekey::Arguments>),
}

/// Reads everything and says what is damaged
///
/// Works on a stopped store or on a copy, and changes nothing. Without a key it checks only the checksum of
/// every page. With the key of a slot it also verifies that no record is missing, added or changed, and
/// decrypts every value.
#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Directory of the store or of its copy: the one with `store.redb`
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    #[command(flatten)]
    seal: SealArgs,
}

/// Rewrites the store's file without the free pages, which may hold what was purged
///
/// The store must be stopped, and the key of a slot is needed. Every record is copied into a new file, which
/// is verified and then replaces the old one; until then the volume holds both. Older backups, snapshots of
/// the volume and the disk itself may still hold purged secrets and old key material.
#[derive(Debug, clap::Args)]
pub(super) struct Compact {
    /// Directory of the stopped store: the one with `store.redb`
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    #[command(flatten)]
    seal: SealArgs,
}

pub(super) async fn run(arguments: Arguments, out: &mut (impl Write + Send)) -> Result<(), CommandError> {
    match arguments {
        Arguments::Check(check) => run_check(check, out).await,
        Arguments::Compact(compact) => run_compact(compact, out).await,
        Arguments::Rekey(arguments) => rekey::run(*arguments, out).await,
    }
}

async fn run_check(Check { dir, seal }: Check, out: &mut impl Write) -> Result<(), CommandError> {
    let root = match seal.source() {
        Some(source) => Some(SealFile::load(&dir)?.unlock(&source.read().await?)?),
        None => None,
    };
    let report = vault::check(&dir, root.as_ref())?;
    writeln!(out, "{report}")?;
    if report.is_sound() {
        Ok(())
    } else {
        Err(CommandError::Damaged)
    }
}

async fn run_compact(Compact { dir, seal }: Compact, out: &mut impl Write) -> Result<(), CommandError> {
    let secret = seal.source().ok_or(SealSourceError::Unnamed)?.read().await?;
    let root = SealFile::load(&dir)?.unlock(&secret)?;
    let report = vault::compact(&dir, &root)?;
    writeln!(out, "{report}")?;
    Ok(())
}
