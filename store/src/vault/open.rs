//! Makes a store, and opens one: each piece is proven before the next is touched.
//!
//! The order is: lock, seal file (the caller has proven the root key with it), engine with its integrity
//! check, state under the root key, seal digest, digest of all records, anchor. A wrong root key stops before
//! the store file is opened.
//!
//! A new store is made whole in a directory beside its place, and put in place by one rename.

use std::collections::BTreeMap;
use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::sync::{Arc, mpsc};

use parking_lot::{Condvar, Mutex, RwLock};
use subtle::ConstantTimeEq;

use super::anchor::Anchor;
use super::audit_bound::AuditBound;
use super::error::StoreError;
use super::quota::{self, NamespaceQuotas, Quota};
use super::seal::check_seal;
use super::view::View;
use super::writer::{CommitWriter, each_head};
use super::{Published, Queue, Shared, Store};
use crate::audit::{
    self, Action, Actor, ChainHead, Checkpoint, Entry, ReadChain, ReadHead, ReadLog, ReadLogOptions,
    Recorder, RetentionLimits,
};
use crate::codec::DecodeError;
use crate::crypto::{Context, CryptoError, Keyring, RootKey, StateDigest};
use crate::engine::{
    Batch, Change, CommitOutcome, Engine, EngineError, RedbEngine, RedbOptions, Snapshot, Table,
};
use crate::format::{Allowances, SealDigest, StoreState, meta};
use crate::id::{NamespaceId, SecretId};
use crate::lock::{LockError, StoreLock};
use crate::name::SecretName;
use crate::seal::{self, SealError, SealFile};
use crate::time::Timestamp;

/// The store's file in its directory.
pub(crate) const STORE_FILE: &str = "store.redb";

/// Writes an anchor before a commit is acknowledged.
pub type StrictAnchor = Box<dyn Fn(&Anchor) -> Result<(), String> + Send + Sync>;

/// A store could not be made or opened. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// A part is missing while another is there.
    #[error("`{0}` is missing; put it back, or restore a backup with `strongroom restore`")]
    Missing(String),
    /// There is a store already.
    #[error("there is a store at `{0}` already")]
    Exists(String),
    /// Another process has it.
    #[error(transparent)]
    Lock(#[from] LockError),
    /// The seal file cannot be read, or the root key is not that of it.
    #[error(transparent)]
    Seal(#[from] SealError),
    /// The seal file is another store's.
    #[error("the seal file belongs to another store; put the right one back")]
    OtherStore,
    /// The seal file is not the one that the store knows.
    #[error(
        "the seal file was replaced behind the store's back; put the right one back, or restore a backup"
    )]
    SealReplaced,
    /// Records were removed, added or changed.
    #[error(
        "the store's records are not those it committed: some were removed, added or changed; restore a backup"
    )]
    Tampered,
    /// The file is an older copy.
    #[error(
        "the store is an older copy: it has {found} commits, its anchor knows {anchored}; \
             put the newer file back, or accept the loss with --accept-rollback"
    )]
    RolledBack {
        /// Commits in the file.
        found: u64,
        /// Commits that the anchor knows.
        anchored: u64,
    },
    /// The file took another way than the one that was anchored.
    #[error(
        "the store and its anchor disagree about commit {0}; put the right file back, or accept this one with --accept-rollback"
    )]
    Diverged(u64),
    /// The anchor is another store's.
    #[error("the anchor belongs to another store; remove it only if you know where it came from")]
    OtherAnchor,
    /// The audit of reads.
    #[error(transparent)]
    Reads(#[from] audit::ReadLogError),
    /// The store file cannot be opened or read.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// A record cannot be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A record does not open with this root key, or the system gave no randomness.
    #[error(transparent)]
    Crypto(#[from] CryptoError),
    /// A record is not in its form.
    #[error("the store's own facts cannot be read: {0}")]
    Decode(#[from] DecodeError),
    /// The operating system.
    #[error("the store's directory cannot be used: {0}")]
    Io(#[from] std::io::Error),
}

/// What an anchor outside the store demands.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum AnchorRule {
    /// There is none yet, or it is known to be lost.
    Absent,
    /// The store must not be older than this.
    Expect(Anchor),
    /// A person accepts whatever the file holds.
    Accept,
}

/// What a new store is made of.
#[derive(Debug)]
pub struct CreateStoreOptions<'a> {
    /// Its place; nothing may be there.
    pub dir: &'a Path,
    /// What opens it from then on; it is written beside the store file.
    pub seal: &'a SealFile,
    /// The root key that the seal was made with.
    pub root: &'a RootKey,
    /// When it is made, by the wall clock.
    pub now: Timestamp,
    /// Who makes it.
    pub actor: Actor,
}

/// How a store is opened.
pub struct OpenStoreOptions<'a> {
    /// Where it is.
    pub dir: &'a Path,
    /// The root key, proven by [`SealFile::unlock`].
    pub root: &'a RootKey,
    /// The writer's epoch is one more than the store's, or this where it is greater.
    pub epoch: u64,
    /// What stands outside.
    pub anchor: AnchorRule,
    /// The engine's page cache in bytes.
    pub cache_bytes: usize,
    /// Set: each commit's anchor is written before the commit is acknowledged.
    pub strict_anchor: Option<StrictAnchor>,
    /// How much of the audit is kept.
    pub audit: RetentionLimits,
    /// What one namespace may have; none: there is no end.
    pub quota: Option<Quota>,
    /// When it is opened, by the wall clock.
    pub now: Timestamp,
}

impl std::fmt::Debug for OpenStoreOptions<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Open")
            .field("dir", &self.dir)
            .field("epoch", &self.epoch)
            .finish_non_exhaustive()
    }
}

/// A store's directory under lock.
pub(super) struct StoreDirectory {
    pub(super) path: PathBuf,
    /// Held while the seal file and what the store knows of it change together, or are read together.
    pub(super) sealing: Mutex<()>,
    #[expect(dead_code, reason = "held for as long as the store is open")]
    lock: StoreLock,
}

/// Whether there is a store at `dir`, or one that only waits to be put in place.
#[must_use]
pub fn exists(dir: &Path) -> bool {
    dir.join(STORE_FILE).exists() || dir.join(seal::FILE_NAME).exists()
}

fn beside(dir: &Path) -> PathBuf {
    let mut name = dir.file_name().unwrap_or_default().to_os_string();
    name.push(".creating");
    dir.with_file_name(name)
}

impl Store {
    /// Makes a new store beside `dir`, whole and durable. [`Store::publish`] puts it in place: between the
    /// two, a caller can store the key of the slot. What an earlier attempt left there is replaced.
    ///
    /// # Errors
    /// [`OpenError::Exists`] where there is a store already.
    pub fn prepare(create: &CreateStoreOptions<'_>) -> Result<(), OpenError> {
        if exists(create.dir) {
            return Err(OpenError::Exists(create.dir.display().to_string()));
        }
        let dir = beside(create.dir);
        if dir.exists() {
            fs::remove_dir_all(&dir)?;
        }
        private_dir(&dir)?;
        let options = RedbOptions {
            create: true,
            ..RedbOptions::default()
        };
        let engine = RedbEngine::open_file(&dir.join(STORE_FILE), options)?;
        let keyring = Keyring::derive(create.root, create.seal.store());
        initialize(&engine, &keyring, create.seal, create.now, create.actor.clone())?;
        create.seal.write(&dir)?;
        Ok(())
    }

    /// Whether [`Store::prepare`] left a store to be put in place.
    #[must_use]
    pub fn prepared(dir: &Path) -> Option<SealFile> {
        SealFile::load(&beside(dir)).ok()
    }

    /// Puts a prepared store in place.
    ///
    /// # Errors
    /// What the operating system says.
    pub fn publish(dir: &Path) -> Result<(), OpenError> {
        if exists(dir) {
            return Err(OpenError::Exists(dir.display().to_string()));
        }
        if dir.exists() {
            // Only an empty directory may give way.
            fs::remove_dir(dir)?;
        }
        fs::rename(beside(dir), dir)?;
        if let Some(parent) = dir.parent() {
            // IMPORTANT: the rename is durable only once the directory is.
            fs::File::open(parent)?.sync_all()?;
        }
        Ok(())
    }

    /// Opens the store at `open.dir`.
    ///
    /// # Errors
    /// [`OpenError`]; then no byte of it was changed.
    pub fn open(open: OpenStoreOptions<'_>) -> Result<Self, OpenError> {
        if !open.dir.join(STORE_FILE).exists() {
            return Err(OpenError::Missing(
                open.dir.join(STORE_FILE).display().to_string(),
            ));
        }
        let lock = StoreLock::take(open.dir)?;
        let seal = SealFile::load(open.dir)?;
        if !seal.proves(open.root) {
            return Err(SealError::WrongKey(seal::SlotKind::KeyFile).into());
        }
        let keyring = Keyring::derive(open.root, seal.store());
        let options = RedbOptions {
            cache_bytes: open.cache_bytes,
            create: false,
        };
        let engine = RedbEngine::open_file(&open.dir.join(STORE_FILE), options)?;
        let dir = open.dir;
        let accept_loss = matches!(open.anchor, AnchorRule::Accept);
        let directory = StoreDirectory {
            path: open.dir.to_owned(),
            sealing: Mutex::new(()),
            lock,
        };
        let now = open.now;
        let rules = Rules {
            epoch: open.epoch,
            anchor: open.anchor,
            strict_anchor: open.strict_anchor,
            audit: open.audit,
            quota: open.quota,
        };
        Self::assemble(
            Box::new(engine),
            keyring,
            Some(&seal),
            rules,
            Some(directory),
            move |keyring, epoch, seen| {
                let options = ReadLogOptions {
                    accept_loss,
                    segment_bytes: open.audit.segment_bytes(),
                    ..ReadLogOptions::new(epoch, now, seen)
                };
                Ok(Arc::new(ReadLog::open(dir, keyring, options)?))
            },
        )
    }

    /// Opens a store on an engine that is open already, with a read chain of the caller's: for tests on other
    /// engines.
    ///
    /// # Errors
    /// [`OpenError`].
    #[cfg(any(test, feature = "test-util"))]
    #[doc(hidden)]
    pub fn on_engine(
        engine: Box<dyn Engine>,
        keyring: Keyring,
        epoch: u64,
        reads: Arc<dyn ReadChain>,
    ) -> Result<Self, OpenError> {
        Self::on_engine_within(engine, keyring, epoch, reads, None)
    }

    /// The same, with a quota of namespaces.
    ///
    /// # Errors
    /// [`OpenError`].
    #[cfg(any(test, feature = "test-util"))]
    #[doc(hidden)]
    pub fn on_engine_within(
        engine: Box<dyn Engine>,
        keyring: Keyring,
        epoch: u64,
        reads: Arc<dyn ReadChain>,
        quota: Option<Quota>,
    ) -> Result<Self, OpenError> {
        let rules = Rules {
            epoch,
            anchor: AnchorRule::Absent,
            strict_anchor: None,
            audit: RetentionLimits::default(),
            quota,
        };
        Self::assemble(engine, keyring, None, rules, None, move |_, _, _| Ok(reads))
    }

    fn assemble(
        engine: Box<dyn Engine>,
        keyring: Keyring,
        seal: Option<&SealFile>,
        rules: Rules,
        directory: Option<StoreDirectory>,
        open_reads: impl FnOnce(Arc<Keyring>, u32, ReadHead) -> Result<Arc<dyn ReadChain>, OpenError>,
    ) -> Result<Self, OpenError> {
        let snapshot = engine.snapshot()?;
        let state = read_state(&keyring, snapshot.as_ref())?;
        if let Some(seal) = seal {
            check_seal(&keyring, snapshot.as_ref(), seal)?;
        }
        if digest_of(&keyring, snapshot.as_ref())? != state.digest {
            return Err(OpenError::Tampered);
        }
        check_anchor(&keyring, &state, rules.anchor)?;
        let checkpoint = read_checkpoint(snapshot.as_ref())?;
        if checkpoint.head != state.head {
            return Err(OpenError::Tampered);
        }
        let names = read_names(&keyring, snapshot.as_ref())?;
        // A restored store has the records of its past, and no fence of it.
        let newest = u64::from(audit::newest_epoch(snapshot.as_ref())?);
        let bound = AuditBound::new(rules.audit, audit::mutation_bytes(snapshot.as_ref())?);
        let quotas = NamespaceQuotas::new(
            rules.quota,
            read_allowances(&keyring, snapshot.as_ref())?,
            quota::count(&keyring, snapshot.as_ref())?,
        );
        drop(snapshot);
        let epoch = rules.epoch.max(engine.fence()? + 1).max(newest + 1);
        let keyring = Arc::new(keyring);
        let reads = open_reads(
            Arc::clone(&keyring),
            u32::try_from(epoch).unwrap_or(u32::MAX),
            checkpoint.reads,
        )?;
        let record = Arc::new(Recorder::new(reads));
        let shared = Arc::new(Shared {
            engine,
            keyring,
            record: Arc::clone(&record),
            epoch,
            names: RwLock::new(names),
            published: Mutex::new(Published {
                state,
                reads: checkpoint.reads,
            }),
            changed: Condvar::new(),
            strict_anchor: rules.strict_anchor,
            uses: Mutex::default(),
            stats: super::writer::GroupStats::default(),
            read_cache: super::read_cache::ReadCache::default(),
            bound,
            quotas,
            retaining: Mutex::default(),
            directory,
        });
        let (sender, receiver) = mpsc::channel();
        let writer = CommitWriter::new(Arc::clone(&shared), state, false);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&receiver))?;
        let queue = Queue {
            sender: Mutex::new(Some(sender)),
            thread: Mutex::new(Some(thread)),
            record,
        };
        Ok(Self {
            shared,
            queue: Arc::new(queue),
        })
    }

    /// Where the store lies.
    #[must_use]
    pub fn directory(&self) -> Option<&Path> {
        self.shared
            .directory
            .as_ref()
            .map(|directory| directory.path.as_path())
    }
}

struct Rules {
    epoch: u64,
    anchor: AnchorRule,
    strict_anchor: Option<StrictAnchor>,
    audit: RetentionLimits,
    quota: Option<Quota>,
}

pub(super) fn private_dir(dir: &Path) -> std::io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(dir)
}

/// Founds a store: its first commit.
pub(super) fn initialize(
    engine: &dyn Engine,
    keyring: &Keyring,
    seal: &SealFile,
    now: Timestamp,
    actor: Actor,
) -> Result<(), OpenError> {
    let store = keyring.store();
    let entry = Entry::new(now, actor, Action::CreateStore);
    let (record, head) = audit::record(keyring, 0, ChainHead::default(), ReadHead::default(), &entry)?;
    let checkpoint = Checkpoint::sign(keyring.signer(), &store, head, ReadHead::default(), now);
    let digest = SealDigest {
        current: keyring.seal_file_mac(&seal.encode()),
        next: None,
    };
    let records = vec![
        (Table::Meta, meta::IDENTITY.to_vec(), store.as_bytes().to_vec()),
        (Table::Meta, meta::SEAL.to_vec(), digest.encode()),
        (Table::Meta, meta::CHECKPOINT.to_vec(), checkpoint.encode()),
        (
            Table::Audit,
            audit::encode_key(0, record.sequence),
            record.encode(),
        ),
    ];
    let sum = records
        .iter()
        .fold(StateDigest::default(), |sum, (table, key, value)| {
            sum.plus(keyring.record_term(table.code(), key, value))
        });
    let state = StoreState {
        counter: 1,
        digest: sum,
        head,
    };
    let sealed = keyring.seal(&Context::Meta("state"), &state.encode())?;
    let mut changes: Vec<Change> = records
        .into_iter()
        .map(|(table, key, value)| Change::Put { table, key, value })
        .collect();
    changes.push(Change::Put {
        table: Table::Meta,
        key: meta::STATE.to_vec(),
        value: sealed,
    });
    match engine.commit(&Batch {
        changes,
        ..Batch::default()
    })? {
        CommitOutcome::Committed(_) => Ok(()),
        CommitOutcome::Conflict(_) | CommitOutcome::Unknown => Err(StoreError::NotCommitted.into()),
    }
}

/// The state row under the root key.
pub(super) fn read_state(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<StoreState, OpenError> {
    let identity = snapshot
        .value(Table::Meta, meta::IDENTITY)?
        .ok_or(OpenError::Tampered)?;
    if identity != keyring.store().as_bytes() {
        return Err(OpenError::OtherStore);
    }
    let sealed = snapshot
        .value(Table::Meta, meta::STATE)?
        .ok_or(OpenError::Tampered)?;
    let bytes = keyring
        .open(&Context::Meta("state"), &sealed)
        .map_err(|_| OpenError::Tampered)?;
    Ok(StoreState::decode(bytes.expose())?)
}

/// What namespaces may have beyond the quota; none where there never was one.
fn read_allowances(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<Option<Allowances>, OpenError> {
    let Some(sealed) = snapshot.value(Table::Meta, meta::ALLOWANCES)? else {
        return Ok(None);
    };
    let bytes = keyring
        .open(&Context::Meta("allowances"), &sealed)
        .map_err(|_| OpenError::Tampered)?;
    Ok(Some(Allowances::decode(bytes.expose())?))
}

/// The last signed head of the mutation chain.
pub(super) fn read_checkpoint(snapshot: &dyn Snapshot) -> Result<Checkpoint, OpenError> {
    let bytes = snapshot
        .value(Table::Meta, meta::CHECKPOINT)?
        .ok_or(OpenError::Tampered)?;
    Ok(Checkpoint::decode(&bytes)?)
}

/// The digest of all records but the state row.
pub(super) fn digest_of(keyring: &Keyring, snapshot: &dyn Snapshot) -> Result<StateDigest, OpenError> {
    let mut sum = StateDigest::default();
    for table in Table::ALL {
        snapshot.visit(table, &mut |key, value| {
            if !(table == Table::Meta && key == meta::STATE) {
                sum = sum.plus(keyring.record_term(table.code(), key, value));
            }
            ControlFlow::Continue(())
        })?;
    }
    Ok(sum)
}

fn check_anchor(keyring: &Keyring, state: &StoreState, rule: AnchorRule) -> Result<(), OpenError> {
    let anchor = match rule {
        AnchorRule::Absent | AnchorRule::Accept => return Ok(()),
        AnchorRule::Expect(anchor) => anchor,
    };
    if anchor.store != keyring.store() {
        return Err(OpenError::OtherAnchor);
    }
    match state.counter.cmp(&anchor.counter) {
        // A crash between commit and anchor leaves the file ahead.
        std::cmp::Ordering::Greater => Ok(()),
        std::cmp::Ordering::Less => Err(OpenError::RolledBack {
            found: state.counter,
            anchored: anchor.counter,
        }),
        std::cmp::Ordering::Equal => {
            let mac = keyring.anchor_mac(state.counter, &state.digest);
            if bool::from(mac.ct_eq(&anchor.mac)) {
                Ok(())
            } else {
                Err(OpenError::Diverged(state.counter))
            }
        }
    }
}

/// The index of names, from the heads. The first is also looked up through the index on disk: under another
/// index key it would not be found, and no other either. That no row was changed, the digest has shown.
pub(super) fn read_names(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
) -> Result<BTreeMap<(NamespaceId, SecretName), SecretId>, OpenError> {
    let mut names = BTreeMap::new();
    each_head(keyring, snapshot, |head| {
        names.insert((head.namespace, head.name), head.id);
        ControlFlow::Continue(())
    })?;
    let view = View::new(keyring, snapshot);
    if let Some(((namespace, name), id)) = names.iter().next()
        && view.secret_named(namespace, name)?.map(|head| head.id) != Some(*id)
    {
        return Err(OpenError::Tampered);
    }
    Ok(names)
}
