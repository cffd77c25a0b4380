//! `strongroom audit`: the records listed, the chains proven, and the key that proves them.

mod list;

use std::io::Write;
use std::path::PathBuf;

use strongroom_store::crypto::{Keyring, PublicKey};
use strongroom_store::seal::SealFile;

use super::CommandError;
use super::data_dir::DataDir;
use crate::seal::{SealArgs, SealSourceError};

/// Lists and verifies the audit log
#[derive(Debug, clap::Subcommand)]
pub(super) enum Arguments {
    List(list::List),
    Verify(Verify),
    PublicKey(PublicKeyArguments),
}

/// Verifies order and completeness of both chains with the public key alone
///
/// Works on a stopped store or on a copy, and changes nothing. If the chains are not sound, it names the
/// first bad record and exits with 1.
#[derive(Debug, clap::Args)]
pub(super) struct Verify {
    /// Directory of the store or of its copy: the one with `store.redb`
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    /// The key, as `strongroom audit public-key` prints it
    #[arg(long, value_name = "KEY")]
    public_key: PublicKey,
}

/// Prints the public key that verifies the audit chains
///
/// Keep it outside the cluster: it is not secret, but you must be sure that it is the right one.
#[derive(Debug, clap::Args)]
pub(super) struct PublicKeyArguments {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
}

pub(super) async fn run(arguments: Arguments, out: &mut impl Write) -> Result<(), CommandError> {
    match arguments {
        Arguments::List(list) => list::run(list, out).await,
        Arguments::Verify(Verify { dir, public_key }) => {
            let report = strongroom_store::audit::verify(&dir, &public_key)?;
            writeln!(out, "{report}")?;
            if report.is_sound() {
                Ok(())
            } else {
                Err(CommandError::Unsound)
            }
        }
        Arguments::PublicKey(PublicKeyArguments { data_dir, seal }) => {
            let key = seal.source().ok_or(SealSourceError::Unnamed)?.read().await?;
            let file = SealFile::load(&data_dir.store())?;
            let root = file.unlock(&key)?;
            writeln!(out, "{}", Keyring::derive(&root, file.store()).public_key())?;
            Ok(())
        }
    }
}
