//! A store on a disk whose power goes, under an engine that answers "unknown": what models are held against.

use std::sync::Arc;

use strongroom_store::crypto::{Keyring, RootKey};
use strongroom_store::engine::{Disk, Engine, EngineError, STORE_FILE, open_disk};
use strongroom_store::seal::SealFile;
use strongroom_store::vault::{Quota, Store, StoreError};

use super::faulty::{Fault, Faults, FaultyEngine};
use super::simulated_disk::{Random, SimulatedDisk};
use super::{prepare, root, store_on};

pub struct SimulatedStore {
    seal: SealFile,
    root: RootKey,
    pub disk: SimulatedDisk,
    pub faults: Faults,
    pub engine: Arc<dyn Engine>,
    pub store: Store,
    quota: Option<Quota>,
}

impl SimulatedStore {
    /// A new store without a quota.
    pub fn new(seed: u64) -> Self {
        let keep = tempfile::tempdir().unwrap();
        let dir = keep.path().join("store");
        prepare(&dir);
        let bytes = std::fs::read(dir.join(STORE_FILE)).unwrap();
        let disk = SimulatedDisk::new(seed);
        disk.set_len(bytes.len() as u64).unwrap();
        disk.write(0, &bytes).unwrap();
        disk.sync().unwrap();
        let seal = SealFile::load(&dir).unwrap();
        Self::on(seal, root(&dir), disk, Faults::default(), None)
    }

    fn on(seal: SealFile, root: RootKey, disk: SimulatedDisk, faults: Faults, quota: Option<Quota>) -> Self {
        let (engine, store) = open(Keyring::derive(&root, seal.store()), &disk, &faults, quota);
        Self {
            seal,
            root,
            disk,
            faults,
            engine,
            store,
            quota,
        }
    }

    /// Closes it, and opens it with this quota.
    pub fn reopen_within(self, quota: Quota) -> Self {
        let Self {
            seal,
            root,
            disk,
            faults,
            engine,
            store,
            ..
        } = self;
        store.close();
        drop((engine, store));
        Self::on(seal, root, disk, faults, Some(quota))
    }

    /// The power goes, and comes back.
    pub fn restart(&mut self) {
        self.faults.clear();
        self.disk = self.disk.restart();
        let keyring = Keyring::derive(&self.root, self.seal.store());
        (self.engine, self.store) = open(keyring, &self.disk, &self.faults, self.quota);
    }

    /// Endangers the next answer now and then. Whether by a power cut: then a restart is due.
    pub fn endanger(&self, random: &mut Random) -> bool {
        let cut = random.below(25) == 0;
        if cut {
            self.disk.cut_after(random.below(40), false);
        } else if random.below(5) == 0 {
            let faults = [
                Fault::UnknownButCommitted,
                Fault::UnknownAndLost,
                Fault::Conflict,
                Fault::OutOfSpace,
            ];
            self.faults
                .order(faults[random.below(4) as usize], random.below(4) as u32);
        }
        cut
    }
}

fn open(
    keyring: Keyring,
    disk: &SimulatedDisk,
    faults: &Faults,
    quota: Option<Quota>,
) -> (Arc<dyn Engine>, Store) {
    let engine: Arc<dyn Engine> = Arc::from(open_disk(Arc::new(disk.clone()), false).unwrap());
    let faulty = FaultyEngine::new(Arc::clone(&engine), faults.clone());
    (engine, store_on(Box::new(faulty), keyring, quota).unwrap())
}

/// What stands between a request and its answer, and nothing else: such a request is sent again.
fn is_lost(error: &StoreError) -> bool {
    matches!(
        error,
        StoreError::Unknown { .. }
            | StoreError::NotCommitted
            | StoreError::Fenced
            | StoreError::Closed
            | StoreError::Engine(
                EngineError::OutOfSpace
                    | EngineError::Poisoned
                    | EngineError::Io(_)
                    | EngineError::Damaged(_)
            )
    )
}

/// Sends a request again as long as its answer is lost. How often that was.
pub fn resend<T>(answer: &mut Result<T, StoreError>, mut run: impl FnMut() -> Result<T, StoreError>) -> u64 {
    let mut resent = 0;
    while resent < 8 && answer.as_ref().is_err_and(is_lost) {
        *answer = run();
        resent += 1;
    }
    resent
}
