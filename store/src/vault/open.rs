//! Opens a store: each piece is proven before the next is touched.
//!
//! The order is: lock, seal file (the caller has proven the root key with it), engine with its integrity
//! check, state under the root key, seal digest, digest of all records, anchor. A wrong root key stops before
//! the store file is opened.

use std::path::Path;
use std::sync::{Arc, mpsc};

use parking_lot::{Condvar, Mutex};
use strongroom_model::time::Timestamp;
use subtle::ConstantTimeEq;

use super::anchor::{Anchor, StrictAnchor};
use super::caches::Caches;
use super::directory::StoreDirectory;
use super::group_stats::GroupStats;
use super::open_error::OpenError;
use super::rekey::settle;
use super::shared::{PublishedState, Shared};
use super::state::{adopt_marks, check_seal, digest_of, read_checkpoint, read_rekeys, read_state};
use super::store::Store;
use super::writer::CommitWriter;
use crate::audit::{self, ReadChain, ReadHead, ReadLog, ReadLogOptions, Recorder, RetentionLimits};
use crate::crypto::{Keyring, RootKey};
use crate::engine::{Engine, STORE_FILE, open_file};
use crate::format::{Quota, StoreState};
use crate::lock::StoreLock;
use crate::seal::{SealError, SealFile, SlotKind};

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

impl Store {
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
            return Err(SealError::WrongKey(SlotKind::KeyFile).into());
        }
        settle(open.dir, &seal, &mut |_| {})?;
        let keyring = Keyring::derive(open.root, seal.store());
        let engine = open_file(&open.dir.join(STORE_FILE), open.cache_bytes)?;
        let dir = open.dir;
        let accept_loss = matches!(open.anchor, AnchorRule::Accept);
        let directory = StoreDirectory::new(open.dir, lock);
        let now = open.now;
        let rules = Rules {
            epoch: open.epoch,
            anchor: open.anchor,
            strict_anchor: open.strict_anchor,
            audit: open.audit,
            quota: open.quota,
        };
        Self::assemble(
            engine,
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
        mut keyring: Keyring,
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
        adopt_marks(&mut keyring, snapshot.as_ref())?;
        let rekeyed = read_rekeys(snapshot.as_ref())?.last().map(|rekey| rekey.time);
        check_anchor(&keyring, &state, rules.anchor)?;
        let checkpoint = read_checkpoint(snapshot.as_ref())?;
        if checkpoint.head != state.head {
            return Err(OpenError::Tampered);
        }
        let caches = Caches::load(&keyring, snapshot.as_ref(), rules.audit, rules.quota)?;
        // A restored store has the records of its past, and no fence of it.
        let newest = u64::from(audit::newest_epoch(snapshot.as_ref())?);
        drop(snapshot);
        let epoch = rules.epoch.max(engine.fence()? + 1).max(newest + 1);
        let keyring = Arc::new(keyring);
        let reads = open_reads(
            Arc::clone(&keyring),
            u32::try_from(epoch).unwrap_or(u32::MAX),
            checkpoint.reads,
        )?;
        let shared = Arc::new(Shared {
            engine,
            keyring,
            rekeyed,
            record: Recorder::new(reads),
            epoch,
            caches,
            published: Mutex::new(PublishedState {
                state,
                reads: checkpoint.reads,
            }),
            changed: Condvar::new(),
            strict_anchor: rules.strict_anchor,
            uses: Mutex::default(),
            stats: GroupStats::default(),
            retaining: Mutex::default(),
            directory,
        });
        let (sender, receiver) = mpsc::channel();
        let writer = CommitWriter::new(Arc::clone(&shared), state);
        let thread = std::thread::Builder::new()
            .name("store-writer".to_owned())
            .spawn(move || writer.run(&receiver))?;
        Ok(Self::new(shared, sender, thread))
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
