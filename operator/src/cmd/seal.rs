//! `strongroom seal`: the ways to open the store. The running process is asked where there is one; a stopped
//! store is opened here, under its lock.

use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};

use strongroom_model::id::RequestId;
use strongroom_model::time::Timestamp;
use strongroom_store::audit::Actor;
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{SealFile, SlotId, SlotInfo, SlotKind, SlotSecret};
use strongroom_store::vault::{AnchorRule, Meta, OpenError, OpenStoreOptions, Store};
use zeroize::Zeroizing;

use super::CommandError;
use super::data_dir::DataDir;
use crate::admin::{Client, SlotError, SlotLine, add_slot, new_recovery_key, remove_slot};
use crate::seal::{SealArgs, SealSource, SealSourceError};

/// Page cache for a store that is opened for one change, bytes.
const CACHE_BYTES: usize = 4 << 20;

/// Lists and changes the ways to open the store
#[derive(Debug, clap::Subcommand)]
pub(super) enum Arguments {
    /// Lists the slots: each is one way to open the store
    Slots {
        #[command(flatten)]
        data_dir: DataDir,
    },
    /// Adds a way to open the store; nothing is added where the key opens it already
    Add {
        #[command(flatten)]
        place: StoreAccess,
        #[command(flatten)]
        new: NewSlot,
        /// Label of the new slot
        #[arg(long, default_value = "")]
        label: String,
    },
    /// Removes a way to open the store
    Remove {
        #[command(flatten)]
        place: StoreAccess,
        /// The slot, as `strongroom seal slots` shows it
        slot: SlotId,
        /// Also remove the last slot of the kind that the running process starts with
        #[arg(long)]
        force: bool,
    },
    /// Creates a recovery key and shows it, only once
    ///
    /// Anyone who has it can open the store and every backup from now on. If there is one already, it asks
    /// before it creates another.
    RecoveryKey {
        #[command(flatten)]
        place: StoreAccess,
        /// Creates one even if there is one already
        #[arg(long)]
        another: bool,
        /// Label of its slot
        #[arg(long, default_value = "recovery key")]
        label: String,
    },
}

/// The store, and what opens it where no process has it open.
#[derive(Debug, clap::Args)]
pub(super) struct StoreAccess {
    #[command(flatten)]
    data_dir: DataDir,
    #[command(flatten)]
    opens: SealArgs,
}

/// The key of a new slot.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub(super) struct NewSlot {
    /// A file of 32 random bytes
    #[arg(long, value_name = "PATH")]
    key_file: Option<PathBuf>,
    /// A file with a passphrase of at least 12 characters
    #[arg(long, value_name = "PATH")]
    passphrase_file: Option<PathBuf>,
    /// A Secret in the process's own namespace; created, with a new key, if it does not exist
    #[arg(long, value_name = "NAME")]
    kubernetes_secret: Option<String>,
}

/// Carries the command out; lists, ids and the recovery key go to `out`.
pub(super) async fn run(arguments: Arguments, out: &mut (dyn Write + Send)) -> Result<(), CommandError> {
    match arguments {
        Arguments::Slots { data_dir } => {
            // The file alone says it, whether a process runs or not.
            let file = SealFile::load(&data_dir.store())?;
            list(file.slots().into_iter().map(SlotLine::from), out)?;
        }
        Arguments::Add { place, new, label } => {
            let dir = place.data_dir.store();
            let secret = new.read(&dir).await?;
            let (kind, before) = (secret.kind(), SealFile::load(&dir)?.slots());
            let id = match place.connect().await? {
                StoreConnection::Running(client) => client.add_slot(secret, label).await?,
                StoreConnection::Stopped(open) => open
                    .change(move |store, root, meta| add_slot(store, root, &secret, &label, meta))
                    .await?
                    .to_string(),
            };
            if before.iter().any(|slot| slot.id.to_string() == id) {
                writeln!(out, "this key opens {kind} slot {id} already; nothing was added")?;
            } else {
                writeln!(
                    out,
                    "added {kind} slot {id}: it opens the store, and every backup from now on"
                )?;
            }
        }
        Arguments::Remove { place, slot, force } => match place.connect().await? {
            StoreConnection::Running(client) => client.remove_slot(slot, force).await?,
            StoreConnection::Stopped(open) => {
                open.change(move |store, _, meta| remove_slot(store, slot, None, meta))
                    .await?;
            }
        },
        Arguments::RecoveryKey {
            place,
            another,
            label,
        } => {
            let slots = SealFile::load(&place.data_dir.store())?.slots();
            if !another && let Some(there) = slots.into_iter().find(|slot| slot.kind == SlotKind::Recovery) {
                confirm(&there)?;
            }
            let key: Zeroizing<String> = match place.connect().await? {
                StoreConnection::Running(client) => client.new_recovery_key(label).await?,
                StoreConnection::Stopped(open) => {
                    open.change(move |store, root, meta| new_recovery_key(store, root, &label, meta))
                        .await?
                }
            };
            writeln!(out, "{}", key.as_str())?;
            out.flush()?;
        }
    }
    Ok(())
}

/// Asks the person whether there shall be another recovery key; refuses where nobody can be asked.
fn confirm(there: &SlotInfo) -> Result<(), CommandError> {
    let refused = || CommandError::RecoveryKeyExists {
        id: there.id.to_string(),
        label: strongroom_api::visible(&there.label).into_owned(),
    };
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused());
    }
    write!(
        std::io::stderr(),
        "There is a recovery key already, slot {}. Another one would open everything as well. Create another? [y/N] ",
        there.id
    )?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(refused())
    }
}

fn list(slots: impl Iterator<Item = SlotLine>, out: &mut dyn Write) -> Result<(), std::io::Error> {
    writeln!(out, "{:<16}  {:<17}  LABEL", "ID", "KIND")?;
    for slot in slots {
        writeln!(out, "{:<16}  {:<17}  {}", slot.id, slot.kind, slot.label)?;
    }
    Ok(())
}

impl NewSlot {
    async fn read(&self, dir: &Path) -> Result<SlotSecret, CommandError> {
        if let Some(name) = &self.kubernetes_secret {
            let store = SealFile::load(dir)?.store();
            return Ok(crate::seal::kubernetes::read_or_create(name, store).await?);
        }
        let source = None
            .or_else(|| self.key_file.clone().map(SealSource::KeyFile))
            .or_else(|| self.passphrase_file.clone().map(SealSource::PassphraseFile));
        Ok(source.ok_or(SealSourceError::Unnamed)?.read().await?)
    }
}

/// How the store is reached.
enum StoreConnection {
    Running(Client),
    Stopped(StoppedStore),
}

/// A store that no process had open, open here.
struct StoppedStore {
    store: Store,
    root: RootKey,
}

impl StoreAccess {
    async fn connect(&self) -> Result<StoreConnection, CommandError> {
        let dir = self.data_dir.store();
        if let Some(client) = Client::connect(&dir).await? {
            return Ok(StoreConnection::Running(client));
        }
        let seal = SealFile::load(&dir)?;
        let source = self.opens.source().ok_or(SealSourceError::Unnamed)?;
        let secret = source.read().await?;
        let opened = blocking(move || {
            let root = seal.unlock(&secret)?;
            // The anchor stands in the cluster, out of reach here.
            let store = Store::open(OpenStoreOptions {
                dir: &dir,
                root: &root,
                epoch: 0,
                anchor: AnchorRule::Absent,
                cache_bytes: CACHE_BYTES,
                strict_anchor: None,
                audit: strongroom_store::audit::RetentionLimits::default(),
                quota: None,
                now: now(),
            })?;
            Ok(StoppedStore { store, root })
        });
        Ok(StoreConnection::Stopped(opened.await?))
    }
}

impl StoppedStore {
    async fn change<T: Send + 'static>(
        self,
        change: impl FnOnce(&Store, &RootKey, Meta) -> Result<T, SlotError> + Send + 'static,
    ) -> Result<T, CommandError> {
        let meta = Meta {
            actor: Actor::Admin("command line, stopped store".to_owned()),
            request: RequestId::generate()?,
            now: now(),
            asked: None,
        };
        blocking(move || {
            let done = change(&self.store, &self.root, meta);
            self.store.close();
            Ok(done?)
        })
        .await
    }
}

fn now() -> Timestamp {
    Timestamp::from_millis(jiff::Timestamp::now().as_millisecond())
}

/// Runs blocking work, which waits for the disk or stretches a passphrase, on a thread of the blocking pool.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, CommandError> + Send + 'static,
) -> Result<T, CommandError> {
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(OpenError::Io(std::io::Error::other(error)).into()))
}
