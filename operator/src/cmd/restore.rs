//! `strongroom restore`: a backup into an empty place, or into a cluster.

use std::io::Write;
use std::path::PathBuf;

use strongroom_model::id::RequestId;
use strongroom_model::name::is_dns_label;
use strongroom_store::audit::Actor;
use strongroom_store::vault::{Meta, RestoreOptions, restore};

use super::CommandError;
use super::data_dir::DataDir;
use crate::bootstrap::{ClusterRestore, RestoreError, RestoreOutcome, open_backup};
use crate::seal::{SealArgs, SealSource, SealSourceError, kubernetes};

/// Restores a backup into an empty data directory
///
/// Only the keys that the store had when the backup was taken open it. The restored store is older than its
/// anchor: start once with `serve --accept-rollback`. With --request-id the cluster is made ready too: the
/// store gets a slot for the root key of this cluster, the anchor is taken over, and `serve` starts as ever.
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
    /// Restores into this cluster, once for each id: a second time nothing is done. A store without secrets
    /// gives way. An id is chosen by you, such as the date: lower-case letters, digits and `-`, at most 63
    #[arg(long, value_name = "ID", value_parser = request_id)]
    request_id: Option<String>,
    /// Kubernetes Secret that opens the restored store from then on, in the process's own namespace; created,
    /// with a new key, if it does not exist
    #[arg(long, value_name = "NAME", requires = "request_id")]
    kubernetes_secret: Option<String>,
    /// Replaces a store that has secrets; it is kept beside the restored one
    #[arg(long, requires = "request_id")]
    replace_store: bool,
    /// Namespace of the process in this cluster
    #[arg(long, value_name = "NAME", env = "POD_NAMESPACE")]
    namespace: Option<String>,
}

pub(super) async fn run(arguments: Arguments, out: &mut impl Write) -> Result<(), CommandError> {
    let source = arguments.seal.source().ok_or(SealSourceError::Unnamed)?;
    std::fs::create_dir_all(&arguments.data_dir.data_dir)?;
    match &arguments.request_id {
        Some(request) => into_cluster(&arguments, &source, request, out).await,
        None => into_directory(&arguments, &source, out).await,
    }
}

async fn into_directory(
    arguments: &Arguments,
    source: &SealSource,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let secret = source.read().await?;
    let dir = arguments.data_dir.store();
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
    let records = restore(&options, &mut open_backup(&arguments.from)?).map_err(RestoreError::from)?;
    writeln!(out, "restored {records} records into {}", dir.display())?;
    let next = if arguments.accept_namespaces {
        "next, in a new cluster: `strongroom seal add --kubernetes-secret NAME` with the key that opened the backup, then start once with `strongroom serve \
         --accept-rollback`; `strongroom restore --request-id ID --kubernetes-secret NAME` does all of it at once"
    } else {
        "next: start once with `strongroom serve --accept-rollback`, because the anchor is newer than the restored store"
    };
    writeln!(out, "{next}")?;
    Ok(())
}

async fn into_cluster(
    arguments: &Arguments,
    source: &SealSource,
    request: &str,
    out: &mut impl Write,
) -> Result<(), CommandError> {
    let (client, own) = kubernetes::own_namespace().await?;
    let dir = arguments.data_dir.store();
    let restore = ClusterRestore {
        client,
        namespace: arguments.namespace.as_deref().unwrap_or(&own),
        dir: &dir,
        from: &arguments.from,
        source,
        request,
        root_key_secret: arguments.kubernetes_secret.as_deref(),
        accept_namespaces: arguments.accept_namespaces,
        replace: arguments.replace_store,
        now: crate::serve::now(),
    };
    match restore.run().await? {
        RestoreOutcome::DoneBefore => writeln!(
            out,
            "restore `{request}` was carried out before, and nothing was changed; to restore again, choose another id"
        )?,
        RestoreOutcome::Finished => writeln!(
            out,
            "restore `{request}` had been interrupted and is finished: {}",
            dir.display()
        )?,
        RestoreOutcome::Restored { records, set_aside } => {
            writeln!(out, "restored {records} records into {}", dir.display())?;
            if let Some(aside) = set_aside {
                writeln!(
                    out,
                    "the store that was there is in {}; delete it once nothing of it is needed",
                    aside.display()
                )?;
            }
        }
    }
    Ok(())
}

/// It is part of a file's name.
fn request_id(text: &str) -> Result<String, String> {
    if is_dns_label(text) {
        Ok(text.to_owned())
    } else {
        Err("an id has 1 to 63 lower-case letters, digits and `-`, and begins and ends with none of the latter".to_owned())
    }
}
