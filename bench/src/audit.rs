//! Rows of the audit log: the room that a record takes, and how fast a stopped store's chains are verified.

use std::hint::black_box;
use std::ops::ControlFlow;
use std::path::Path;
use std::time::Instant;

use sha2::{Digest, Sha256};
use strongroom_model::id::{RequestId, SecretId};
use strongroom_store::audit::{
    Actor, Circumstances, READS_DIRECTORY, ReadChainRecord, SegmentDirectory, SegmentStorage, VerifyReport,
    verify,
};
use strongroom_store::crypto::PublicKey;
use strongroom_store::engine::{STORE_FILE, Table, view_file};
use strongroom_store::vault::{ExternalRequest, GetValue, Meta, Store};

use crate::row::Row;
use crate::store::{EACH, ROUNDS, WRITERS, make, now, together};
use crate::{Outcome, fresh};

/// Audited reads.
const READS: usize = 100_000;
/// Rounds of audited puts, of [`EACH`] by each writer.
const PUT_ROUNDS: usize = 4;

/// Who asks, with all that is known of a pod which reads over HTTPS.
fn meta() -> Outcome<Meta> {
    Ok(Meta {
        actor: Actor::Principal("serviceaccount shop/checkout".to_owned()),
        request: RequestId::generate()?,
        now: now(),
        asked: Some(Box::new(ExternalRequest {
            arrived: Instant::now(),
            circumstances: Circumstances {
                source: Some([10, 42, 0, 7].into()),
                pod: Some("checkout-6d4cf56db6-x2v7k".to_owned()),
                node: Some("node-1.example.internal".to_owned()),
                statements: vec![
                    "statement 1 of readers of ManagedSecret checkout-db in namespace `shop`".to_owned(),
                ],
                ..Circumstances::default()
            },
        })),
    })
}

fn read(store: &Store, secret: SecretId) -> Outcome<()> {
    store.value(&GetValue::current(secret), &meta()?)?;
    Ok(())
}

/// All rows: they share the records.
pub(crate) fn measure(dir: &Path) -> Outcome<Vec<Row>> {
    let keep = fresh(dir, "audit")?;
    let path = keep.path().join("store");
    let (store, secrets) = make(&path, WRITERS)?;
    for round in 0..PUT_ROUNDS {
        together(&store, &secrets, round, EACH)?;
    }
    secrets
        .iter()
        .cycle()
        .take(READS)
        .try_for_each(|secret| read(&store, *secret))?;
    let key = store.audit_public_key();
    let plain = EntrySizes::measure(&store, &path)?;
    store.close();
    drop(store);

    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    let (report, used) = (verified(&path, &key)?, ChainUsage::measure(&path)?);
    let records = count(report.reads.records + report.mutations.records);
    for _ in 0..ROUNDS {
        let start = Instant::now();
        used.hashed(&path)?;
        baseline.push(records / start.elapsed().as_secs_f64());
        let start = Instant::now();
        verified(&path, &key)?;
        ours.push(records / start.elapsed().as_secs_f64());
    }
    let each = |bytes: u64, records: u64| [count(bytes) / count(records.max(1))];
    Ok(vec![
        Row::from_samples(
            "audit.record_bytes",
            "B",
            &each(used.reads(), report.reads.records),
        )
        .against("what it says, unsealed and unchained", &[plain.read]),
        Row::from_samples(
            "audit.change_bytes",
            "B",
            &each(used.changes, report.mutations.records),
        )
        .against("what it says, unsealed and unchained", &[plain.change]),
        Row::from_samples("audit.verify", "/s", &ours).against("SHA-256 of the same bytes", &baseline),
    ])
}

#[expect(clippy::cast_precision_loss, reason = "counts are small")]
const fn count(number: u64) -> f64 {
    number as f64
}

fn verified(dir: &Path, key: &PublicKey) -> Outcome<VerifyReport> {
    let report = verify(dir, key)?;
    if !report.is_sound() || report.reads.records < READS as u64 {
        return Err(format!("the chains are not what was written: {report}").into());
    }
    Ok(report)
}

/// Bytes of the entries themselves, on the mean.
struct EntrySizes {
    read: f64,
    change: f64,
}

impl EntrySizes {
    fn measure(store: &Store, dir: &Path) -> Outcome<Self> {
        const LOOKED_AT: usize = 10_000;
        let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
        let reads: Vec<usize> = store
            .reads_after(&storage, 0, LOOKED_AT)?
            .iter()
            .filter_map(|(_, logged)| match logged {
                ReadChainRecord::Entry(entry) => Some(entry.encode().len()),
                _ => None,
            })
            .collect();
        let changes: Vec<usize> = store
            .mutations_after(0, LOOKED_AT)?
            .iter()
            .map(|(_, entry)| entry.encode().len())
            .collect();
        let mean = |sizes: &[usize]| count(sizes.iter().sum::<usize>() as u64) / count(sizes.len() as u64);
        Ok(Self {
            read: mean(&reads),
            change: mean(&changes),
        })
    }
}

/// What the chains of a stopped store take.
struct ChainUsage {
    /// Bytes of each segment: room that is reserved is not used yet.
    segments: Vec<(u64, usize)>,
    /// Bytes of the records in the store.
    changes: u64,
}

impl ChainUsage {
    fn measure(dir: &Path) -> Outcome<Self> {
        let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
        let mut segments = Vec::new();
        for number in storage.segments()? {
            let mut bytes = vec![0; usize::try_from(storage.size(number)?)?];
            storage.read(number, 0, &mut bytes)?;
            let last = bytes.iter().rposition(|byte| *byte != 0);
            segments.push((number, last.map_or(0, |last| last + 1)));
        }
        let mut changes = 0;
        changes_of(dir, |key, value| changes += (key.len() + value.len()) as u64)?;
        Ok(Self { segments, changes })
    }

    /// Bytes of the read chain.
    fn reads(&self) -> u64 {
        self.segments.iter().map(|(_, bytes)| *bytes as u64).sum()
    }

    /// Reads all of it into a hash: what any proof over it has to do at least.
    fn hashed(&self, dir: &Path) -> Outcome<()> {
        let storage = SegmentDirectory::read_only(&dir.join(READS_DIRECTORY));
        let mut hash = Sha256::new();
        for (number, bytes) in &self.segments {
            let mut bytes = vec![0; *bytes];
            storage.read(*number, 0, &mut bytes)?;
            hash.update(&bytes);
        }
        changes_of(dir, |key, value| {
            hash.update(key);
            hash.update(value);
        })?;
        black_box(hash.finalize());
        Ok(())
    }
}

/// Each record of the mutation chain, as it lies in the store's file.
fn changes_of(dir: &Path, mut each: impl FnMut(&[u8], &[u8])) -> Outcome<()> {
    let engine = view_file(&dir.join(STORE_FILE))?;
    engine.snapshot()?.visit(Table::Audit, &mut |key, value| {
        each(key, value);
        ControlFlow::Continue(())
    })?;
    Ok(())
}
