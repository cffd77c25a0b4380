//! Looks at a stopped store, or at a copy, without changing a byte of it.

use std::fmt;
use std::ops::ControlFlow;
use std::path::Path;

use strongroom_model::name::SecretName;

use super::error::StoreError;
use super::heads::each_head;
use super::indexed_record::each_indexed;
use super::open_error::OpenError;
use super::state::{digest_of, read_state};
use super::view::View;
use crate::crypto::{Keyring, RootKey};
use crate::engine::{EngineError, STORE_FILE, Snapshot, Table, view_file};
use crate::format::{Attestation, Declaration, EnforcedPolicy, IndexedRecord, ProductRecord};
use crate::lock::{LockError, StoreLock};
use crate::seal::SealFile;

/// What a check found.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct CheckReport {
    /// Records, those of the audit included.
    pub records: u64,
    /// Secrets whose head was opened; none without the key.
    pub secrets: u64,
    /// Values that were opened; none without the key.
    pub values: u64,
    /// Values under an encryption key that refuses.
    pub refused: u64,
    /// Access policies in force that were opened; none without the key.
    pub policies: u64,
    /// Whether the key was there.
    pub keyed: bool,
    /// What is wrong.
    pub damage: Vec<String>,
}

impl CheckReport {
    /// Whether nothing is wrong.
    #[must_use]
    pub const fn is_sound(&self) -> bool {
        self.damage.is_empty()
    }
}

impl fmt::Display for CheckReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "records: {}", self.records)?;
        if self.keyed {
            writeln!(f, "secrets: {}", self.secrets)?;
            writeln!(
                f,
                "values opened: {}, under a key that refuses: {}",
                self.values, self.refused
            )?;
            writeln!(f, "access policies: {}", self.policies)?;
        } else {
            writeln!(f, "secrets and values: not looked at, no key was given")?;
        }
        for damage in &self.damage {
            writeln!(f, "damaged: {damage}")?;
        }
        f.write_str(if self.is_sound() { "sound" } else { "NOT sound" })
    }
}

/// Checks the store in `dir`; with its root key, every record.
///
/// # Errors
/// [`OpenError`] where it is open in a process, or cannot be looked at.
pub fn check(dir: &Path, root: Option<&RootKey>) -> Result<CheckReport, OpenError> {
    // With the seal file it is known whether a switch to a new root key still has to be ended.
    let seal = SealFile::load(dir);
    let path = match &seal {
        Ok(seal) => seal.locate(dir, STORE_FILE),
        Err(_) => dir.join(STORE_FILE),
    };
    if !path.exists() {
        return Err(OpenError::Missing(path.display().to_string()));
    }
    let _lock = lock_where_there_is_one(dir)?;
    let mut report = CheckReport {
        keyed: root.is_some(),
        ..CheckReport::default()
    };
    let engine = match view_file(&path) {
        Ok(engine) => engine,
        Err(EngineError::Damaged(what)) => {
            report.damage.push(what);
            return Ok(report);
        }
        Err(other) => return Err(other.into()),
    };
    let snapshot = engine.snapshot()?;
    for table in Table::ALL {
        snapshot.visit(table, &mut |_, _| {
            report.records += 1;
            ControlFlow::Continue(())
        })?;
    }
    let Some(root) = root else { return Ok(report) };
    let keyring = Keyring::derive(root, seal?.store());
    open_records(&keyring, snapshot.as_ref(), &mut report)?;
    Ok(report)
}

/// Checks the digest, and opens every record that is not of the audit.
///
/// # Errors
/// [`OpenError`] where the records cannot be read.
pub(super) fn open_records(
    keyring: &Keyring,
    snapshot: &dyn Snapshot,
    report: &mut CheckReport,
) -> Result<(), OpenError> {
    match read_state(keyring, snapshot) {
        Ok(state) if digest_of(keyring, snapshot)? == state.digest => {}
        Ok(_) => report
            .damage
            .push("records were removed, added or changed".to_owned()),
        Err(error) => report.damage.push(error.to_string()),
    }
    let view = View::new(keyring, snapshot);
    let walked = each_head(keyring, snapshot, |head, _| {
        report.secrets += 1;
        for version in &head.versions {
            match view.value(&head, version) {
                Ok(_) => report.values += 1,
                Err(StoreError::Refused(_)) => report.refused += 1,
                Err(error) => report.damage.push(error.to_string()),
            }
        }
    });
    let policies = each_indexed::<EnforcedPolicy>(keyring, snapshot, |policy| match policy {
        Ok(_) => report.policies += 1,
        Err(error) => report.damage.push(error.to_string()),
    });
    let declarations = check_indexed::<Declaration>(&view, &mut report.damage);
    let attestations = check_indexed::<Attestation>(&view, &mut report.damage);
    let products = check_indexed::<ProductRecord>(&view, &mut report.damage);
    let records = policies.and(declarations).and(attestations).and(products);
    if let Err(error) = walked.and(records) {
        report.damage.push(error.to_string());
    }
    Ok(())
}

/// How many secrets with such a name the stopped store in `dir` has; nothing is changed.
///
/// # Errors
/// [`OpenError`] where it is open in a process, or a head does not open.
pub fn count_secrets(
    dir: &Path,
    root: &RootKey,
    counts: impl Fn(&SecretName) -> bool,
) -> Result<u64, OpenError> {
    let _lock = lock_where_there_is_one(dir)?;
    let seal = SealFile::load(dir)?;
    let engine = view_file(&seal.locate(dir, STORE_FILE))?;
    let keyring = Keyring::derive(root, seal.store());
    let mut count = 0;
    each_head(&keyring, engine.snapshot()?.as_ref(), |head, _| {
        count += u64::from(counts(&head.name));
    })?;
    Ok(count)
}

/// Only where there is a lock file can somebody hold it; a copy must not get one.
fn lock_where_there_is_one(dir: &Path) -> Result<Option<StoreLock>, LockError> {
    dir.join("store.lock")
        .exists()
        .then(|| StoreLock::take(dir))
        .transpose()
}

/// Opens every record of a kind.
fn check_indexed<R: IndexedRecord>(view: &View<'_>, damage: &mut Vec<String>) -> Result<(), StoreError> {
    each_indexed::<R>(view.keyring, view.snapshot, |record| {
        damage.extend(record.err().map(|error| error.to_string()));
    })
}
