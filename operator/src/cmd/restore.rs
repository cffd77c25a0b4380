//! `strongroom restore`: a backup into an empty place.

use std::fs::File;
use std::io::{BufReader, Read, Write};
use std::path::{Path, PathBuf};

use strongroom_model::id::RequestId;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, RestoreOptions, restore};

use super::CommandError;
use super::data_dir::DataDir;
use crate::seal::{SealArgs, SealSourceError};

/// Restores a backup into an empty data directory
///
/// You can open it with the key of any slot that the store had when the backup was taken. The restored store
/// is older than its anchor: start once with `serve --accept-rollback`.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    seal: SealArgs,
    /// The backup; `-` is standard input
    #[arg(long, value_name = "FILE|-")]
    from: PathBuf,
    /// Restores into a new cluster: namespaces are matched by name
    #[arg(long)]
    accept_namespaces: bool,
}

pub(super) async fn run(arguments: Arguments, out: &mut impl Write) -> Result<(), CommandError> {
    let secret = arguments
        .seal
        .source()
        .ok_or(SealSourceError::Unnamed)?
        .read()
        .await?;
    let dir = arguments.data_dir.store();
    let mut from: Box<dyn Read> = if arguments.from == Path::new("-") {
        Box::new(std::io::stdin())
    } else {
        let path = &arguments.from;
        let file = File::open(path).map_err(|source| CommandError::Read {
            path: path.display().to_string(),
            source,
        })?;
        Box::new(BufReader::new(file))
    };
    std::fs::create_dir_all(&arguments.data_dir.data_dir)?;
    let meta = Meta {
        actor: Actor::Admin("restore".to_owned()),
        request: RequestId::generate()?,
        now: crate::serve::now(),
        asked: None,
    };
    let options = RestoreOptions {
        dir: &dir,
        secret: &secret,
        accept_namespaces: arguments.accept_namespaces,
        meta,
    };
    let records = restore(&options, &mut from)?;
    writeln!(out, "restored {records} records into {}", dir.display())?;
    writeln!(
        out,
        "next: start once with `strongroom serve --accept-rollback`, because the anchor is newer than the restored store"
    )?;
    Ok(())
}
