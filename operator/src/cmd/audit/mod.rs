//! `strongroom audit`: the records listed, the chains proven, and the key that proves them.

mod list;
mod verify;

use std::io::Write;

use strongroom_store::crypto::Keyring;
use strongroom_store::seal::SealFile;

use super::CommandError;
use super::data_dir::DataDir;
use crate::seal::{SealArgs, SealSourceError};

/// Lists and verifies the audit log
#[derive(Debug, clap::Subcommand)]
pub(super) enum Arguments {
    List(list::List),
    Verify(verify::Verify),
    PublicKey(PublicKeyArguments),
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
        Arguments::Verify(verify) => verify.run(out).await,
        Arguments::PublicKey(PublicKeyArguments { data_dir, seal }) => {
            let key = seal.source().ok_or(SealSourceError::Unnamed)?.read().await?;
            let file = SealFile::load(&data_dir.store())?;
            let root = file.unlock(&key)?;
            writeln!(out, "{}", Keyring::derive(&root, file.store()).public_key())?;
            Ok(())
        }
    }
}
