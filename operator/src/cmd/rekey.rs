//! `strongroom store rekey`: a new root key for a stopped store, with the slots that open it from then on.

use std::io::{BufRead, IsTerminal, Write};
use std::path::{Path, PathBuf};

use strongroom_store::audit::Actor;
use strongroom_store::crypto::RootKey;
use strongroom_store::seal::{RecoveryKey, SealError, SealFile, SlotInfo, SlotSecret};
use strongroom_store::vault::{self, OpenError, RekeyOptions, RekeyReport, RekeyStep};

use super::CommandError;
use crate::audit::{Destination, PRODUCT_SINK_FORM, ProductSink, cursors, sink_help, with_product_sinks};
use crate::seal::{SealArgs, SealSource, SealSourceError, kubernetes};

/// Gives the store a new root key; what opened the store or a backup before opens nothing of it any more
///
/// For the day on which the root key, or the key of a slot, may be known to somebody. The store must be
/// stopped. Every record is sealed anew with new keys into a new file, which is verified and then replaces
/// the old one; until then the volume holds both. Killed at any point, the store opens with the old key or
/// with the new one, never with both.
///
/// Name every key that shall open the store afterwards: a new one, or one of the present slots that nobody
/// else has seen. Slots that are not named open nothing any more, and it asks before it drops them.
///
///   strongroom store rekey --dir /var/lib/strongroom/store --seal-kubernetes-secret strongroom-seal
///     --slot-kubernetes-secret strongroom-seal-2 --new-recovery-key
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Directory of the stopped store: the one with `store.redb`
    #[arg(long, value_name = "PATH")]
    dir: PathBuf,
    #[command(flatten)]
    seal: SealArgs,
    #[command(flatten)]
    slots: SlotArguments,
    // Each kind of sink says itself how it is written.
    #[arg(long, value_name = "SINK", help = format!("A sink of `strongroom serve`, whose position is kept; others begin anew. {}", sink_help()))]
    audit_sink: Vec<Destination>,
    /// A product's own sink of `strongroom serve`, whose position is kept too
    #[arg(long, value_name = PRODUCT_SINK_FORM)]
    audit_product_sink: Vec<ProductSink>,
    /// Does not ask before it drops slots
    #[arg(long)]
    yes: bool,
    /// Does nothing, successfully, if the former key opens nothing any more and a named one does: for an init
    /// container, which runs at each start
    #[arg(long)]
    skip_if_done: bool,
}

/// What opens the store from then on.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = true)]
struct SlotArguments {
    /// A file of 32 random bytes that opens the store afterwards; may be repeated, as the next ones
    #[arg(long, value_name = "PATH")]
    slot_key_file: Vec<PathBuf>,
    /// A file with a passphrase of at least 12 characters that opens the store afterwards
    #[arg(long, value_name = "PATH")]
    slot_passphrase_file: Vec<PathBuf>,
    /// A file with a recovery key that exists already and opens the store afterwards
    #[arg(long, value_name = "PATH")]
    slot_recovery_key_file: Vec<PathBuf>,
    /// A Secret in the process's own namespace that opens the store afterwards; created, with a new key, if
    /// it does not exist
    #[arg(long, value_name = "NAME")]
    slot_kubernetes_secret: Vec<String>,
    /// Creates a recovery key and shows it, only once, before anything is changed
    #[arg(long)]
    new_recovery_key: bool,
}

/// Keys with the labels of their slots.
type LabelledKeys = Vec<(SlotSecret, String)>;

pub(super) async fn run(mut arguments: Arguments, out: &mut (impl Write + Send)) -> Result<(), CommandError> {
    let sinks = std::mem::take(&mut arguments.audit_sink);
    let sinks = with_product_sinks(sinks, std::mem::take(&mut arguments.audit_product_sink))?;
    let source = arguments.seal.source().ok_or(SealSourceError::Unnamed)?;
    let seal = SealFile::load(&arguments.dir)?;
    let (mut keys, missing) = arguments.slots.existing(&seal).await?;
    let may_be_done = arguments.skip_if_done && opens(&seal, &keys)?;
    let root = match former_root(&source, &seal).await {
        Err(error) if may_be_done && is_gone(&error) => {
            writeln!(out, "the store has its new root key already; nothing to do")?;
            return Ok(());
        }
        root => root?,
    };
    let dropped = dropped(&seal, &keys)?;
    if !dropped.is_empty() && !arguments.yes {
        confirm(&dropped)?;
    }
    // IMPORTANT: whatever opens the store afterwards is in somebody's hands before the switch.
    keys.extend(create_secrets(missing, &seal).await?);
    if arguments.slots.new_recovery_key {
        let key = RecoveryKey::generate().map_err(OpenError::from)?;
        writeln!(out, "recovery key: {}", key.reveal().as_str())?;
        out.flush()?;
        keys.push((SlotSecret::Recovery(key), "recovery key".to_owned()));
    }
    let dir = arguments.dir;
    let report = tokio::task::spawn_blocking(move || rekey(&dir, &root, &keys, &sinks))
        .await
        .unwrap_or_else(|error| Err(OpenError::Io(std::io::Error::other(error)).into()))?;
    writeln!(out, "{report}")?;
    for slot in dropped {
        writeln!(out, "dropped: {}", described(&slot))?;
    }
    writeln!(
        out,
        "next: start strongroom with a key of the new slots, take a backup, and keep the new audit public key; see \
         docs/operate/leaked.md"
    )?;
    Ok(())
}

async fn former_root(source: &SealSource, seal: &SealFile) -> Result<RootKey, CommandError> {
    Ok(seal.unlock(&source.read().await?)?)
}

/// Whether the former key is none, or opens nothing.
const fn is_gone(error: &CommandError) -> bool {
    matches!(
        error,
        CommandError::Source(SealSourceError::NoSecret(_))
            | CommandError::Seal(SealError::NoSuchSlot(_) | SealError::WrongKey(_))
    )
}

/// Whether one of the keys opens the seal as it is.
fn opens(seal: &SealFile, keys: &[(SlotSecret, String)]) -> Result<bool, CommandError> {
    for (key, _) in keys {
        if seal.opened_by(key)?.is_some() {
            return Ok(true);
        }
    }
    Ok(false)
}

fn rekey(
    dir: &Path,
    root: &RootKey,
    slots: &[(SlotSecret, String)],
    sinks: &[Destination],
) -> Result<RekeyReport, CommandError> {
    let options = RekeyOptions {
        dir,
        root,
        slots,
        cursors: &cursors(sinks),
        now: crate::serve::now(),
        actor: Actor::Admin("command line, stopped store".to_owned()),
    };
    let mut switched = false;
    let done = vault::rekey(&options, &mut |step| switched |= step == RekeyStep::Switched);
    done.map_err(|error| {
        if switched {
            CommandError::RekeyUnfinished(error)
        } else {
            error.into()
        }
    })
}

impl SlotArguments {
    /// The keys that there are already, and the names of Secrets that there are not. A slot that a key opens
    /// keeps its label.
    async fn existing(&self, seal: &SealFile) -> Result<(LabelledKeys, Vec<String>), CommandError> {
        let files = self.slot_key_file.iter().cloned().map(SealSource::KeyFile);
        let passphrases = self.slot_passphrase_file.iter().cloned();
        let recovery = self.slot_recovery_key_file.iter().cloned();
        let sources = files
            .chain(passphrases.map(SealSource::PassphraseFile))
            .chain(recovery.map(SealSource::RecoveryKeyFile));
        let mut keys = LabelledKeys::new();
        for source in sources {
            keys.push(labelled(seal, source.read().await?)?);
        }
        let mut missing = Vec::new();
        if !self.slot_kubernetes_secret.is_empty() {
            let (client, namespace) = kubernetes::own_namespace().await?;
            for name in &self.slot_kubernetes_secret {
                match kubernetes::read(&client, &namespace, name).await? {
                    Some(key) => keys.push(labelled(seal, key)?),
                    None => missing.push(name.clone()),
                }
            }
        }
        Ok((keys, missing))
    }
}

/// Makes Secrets with new keys.
async fn create_secrets(names: Vec<String>, seal: &SealFile) -> Result<LabelledKeys, CommandError> {
    let mut keys = LabelledKeys::new();
    if names.is_empty() {
        return Ok(keys);
    }
    let (client, namespace) = kubernetes::own_namespace().await?;
    for name in names {
        let key = kubernetes::create(&client, &namespace, &name, seal.store()).await?;
        keys.push((key, format!("Secret {name}")));
    }
    Ok(keys)
}

/// A key with the label of the slot that it opens, if it opens one.
fn labelled(seal: &SealFile, key: SlotSecret) -> Result<(SlotSecret, String), CommandError> {
    let label = seal.opened_by(&key)?.map_or_else(String::new, |slot| slot.label);
    Ok((key, label))
}

/// The slots that no key opens which is to open the store afterwards.
fn dropped(seal: &SealFile, keys: &[(SlotSecret, String)]) -> Result<Vec<SlotInfo>, CommandError> {
    let mut slots = seal.slots();
    for (key, _) in keys {
        if let Some(opened) = seal.opened_by(key)? {
            slots.retain(|slot| slot.id != opened.id);
        }
    }
    Ok(slots)
}

fn described(slot: &SlotInfo) -> String {
    let label = strongroom_api::visible(&slot.label).into_owned();
    format!("{} slot {} ({label})", slot.kind, slot.id)
}

/// Asks the person whether slots may go; refuses where nobody can be asked.
fn confirm(dropped: &[SlotInfo]) -> Result<(), CommandError> {
    let names: Vec<String> = dropped.iter().map(described).collect();
    let refused = || CommandError::SlotsDropped(names.join(", "));
    if !std::io::stdin().is_terminal() || !std::io::stderr().is_terminal() {
        return Err(refused());
    }
    write!(
        std::io::stderr(),
        "These slots will open nothing any more: {}. Their keys still open backups that were taken before. Continue? [y/N] ",
        names.join(", ")
    )?;
    let mut answer = String::new();
    std::io::stdin().lock().read_line(&mut answer)?;
    if answer.trim().eq_ignore_ascii_case("y") {
        Ok(())
    } else {
        Err(refused())
    }
}
