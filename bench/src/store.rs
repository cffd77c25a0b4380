//! Rows of the store.

use std::collections::BTreeMap;
use std::hint::black_box;
use std::path::Path;
use std::sync::Barrier;
use std::time::Instant;

use strongroom_model::SecretBytes;
use strongroom_model::id::{KeyId, NamespaceId, RequestId, SecretId, StoreId};
use strongroom_model::time::Timestamp;
use strongroom_store::audit::Actor;
use strongroom_store::crypto::{DataKey, DataKeyContext, KeyMaterial, RootKey, ValueContext};
use strongroom_store::engine::{STORE_FILE, redb_builder, view_file};
use strongroom_store::seal::{SealFile, SlotSecret};
use strongroom_store::value::{DataType, Value};
use strongroom_store::vault::{
    AnchorRule, BindNamespace, CreateSecret, CreateStoreOptions, GetValue, Meta, OpenStoreOptions, PutValue,
    Quota, Store,
};

use crate::bare_redb::{BareRedb, Shape, shape_of_a_put};
use crate::row::Row;
use crate::{Outcome, fresh};

const CACHE: usize = 16 << 20;
/// How often each measurement is repeated.
pub(crate) const ROUNDS: usize = 5;
/// Writers at the same time.
pub(crate) const WRITERS: usize = 64;
/// Bytes of a value in the put and get rows.
pub(crate) const VALUE: usize = 1024;
/// Puts of one writer in a repetition.
pub(crate) const SINGLE: usize = 100;
/// Puts of each of many writers in a repetition.
pub(crate) const EACH: usize = 20;

pub(crate) fn now() -> Timestamp {
    let millis = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0, |since| since.as_millis());
    Timestamp::from_millis(i64::try_from(millis).unwrap_or(0))
}

pub(crate) fn meta() -> Outcome<Meta> {
    Ok(Meta {
        actor: Actor::Controller("bench".into()),
        request: RequestId::generate()?,
        now: now(),
        asked: None,
    })
}

pub(crate) fn value(bytes: usize) -> Outcome<Value> {
    let key = "value".parse()?;
    Ok(Value::from_keys(BTreeMap::from([(
        key,
        SecretBytes::new(vec![b'x'; bytes]),
    )]))?)
}

fn slot() -> SlotSecret {
    SlotSecret::KeyFile(SecretBytes::new(vec![7; 32]))
}

/// A new store with some secrets of one version each.
pub(crate) fn make(dir: &Path, secrets: usize) -> Outcome<(Store, Vec<SecretId>)> {
    let root = RootKey::generate()?;
    let seal = SealFile::new(StoreId::generate()?, &root, &slot(), "bench")?;
    Store::prepare(&CreateStoreOptions {
        dir,
        seal: &seal,
        root: &root,
        now: now(),
        actor: Actor::System,
    })?;
    Store::publish(dir)?;
    let store = unlock(dir)?;
    let bind = BindNamespace {
        name: "bench".parse()?,
        uid: "uid-1".parse()?,
    };
    let namespace = store.run(bind, meta()?)?;
    let mut ids = Vec::new();
    for number in 0..secrets {
        let command = new_secret(namespace, &format!("secret-{number}"))?;
        ids.push(store.run(command, meta()?)?.secret.id);
    }
    Ok((store, ids))
}

/// The command that makes a secret with one version.
pub(crate) fn new_secret(namespace: NamespaceId, name: &str) -> Outcome<CreateSecret> {
    let (id, version) = (SecretId::generate()?, "v0".parse()?);
    Ok(CreateSecret::new(
        id,
        namespace,
        name.parse()?,
        version,
        value(VALUE)?,
    ))
}

fn unlock(dir: &Path) -> Outcome<Store> {
    let root = SealFile::load(dir)?.unlock(&slot())?;
    Ok(Store::open(OpenStoreOptions {
        dir,
        root: &root,
        epoch: 0,
        anchor: AnchorRule::Absent,
        cache_bytes: CACHE,
        strict_anchor: None,
        audit: strongroom_store::audit::RetentionLimits::default(),
        // As it runs: with one, and far from its end.
        quota: Some(Quota {
            secrets: u64::MAX,
            bytes: u64::MAX,
        }),
        now: now(),
    })?)
}

fn put_one(store: &Store, secret: SecretId, id: &str, bytes: usize) -> Outcome<()> {
    let put = PutValue {
        secret,
        version: id.parse()?,
        value: value(bytes)?,
        stages: Vec::new(),
    };
    store.run(put, meta()?)?;
    Ok(())
}

/// How often `work` goes in a second, on the mean of `count` times.
#[expect(clippy::cast_precision_loss, reason = "counts are small")]
pub(crate) fn rate(count: usize, work: impl FnOnce() -> Outcome<()>) -> Outcome<f64> {
    let start = Instant::now();
    work()?;
    Ok(count as f64 / start.elapsed().as_secs_f64())
}

/// A store with a secret for each writer.
pub(crate) struct PutBench {
    store: Store,
    secrets: Vec<SecretId>,
    /// Puts so far: each has a version id of its own.
    number: usize,
}

impl PutBench {
    /// Makes it, and puts into each secret once.
    pub(crate) fn make(path: &Path) -> Outcome<Self> {
        let (store, secrets) = make(path, WRITERS)?;
        let mut puts = Self {
            store,
            secrets,
            number: 0,
        };
        puts.one_after_the_other(WRITERS)?;
        Ok(puts)
    }

    /// What a put leaves, read off this store; it is closed for that.
    fn shapes(self, path: &Path) -> Outcome<(Self, Vec<Shape>)> {
        let Self {
            store,
            secrets,
            number,
        } = self;
        store.close();
        drop(store);
        let shapes = shape_of_a_put(view_file(&path.join(STORE_FILE))?.as_ref())?;
        let puts = Self {
            store: unlock(path)?,
            secrets,
            number,
        };
        Ok((puts, shapes))
    }

    fn one_after_the_other(&mut self, count: usize) -> Outcome<()> {
        let (store, number) = (&self.store, &mut self.number);
        self.secrets.iter().cycle().take(count).try_for_each(|secret| {
            *number += 1;
            put_one(store, *secret, &format!("s{number}"), VALUE)
        })
    }

    /// Puts a second by one writer.
    pub(crate) fn single(&mut self) -> Outcome<f64> {
        rate(SINGLE, || self.one_after_the_other(SINGLE))
    }

    /// Puts a second by all writers at once.
    pub(crate) fn group(&mut self) -> Outcome<f64> {
        self.number += 1;
        rate(WRITERS * EACH, || {
            together(&self.store, &self.secrets, self.number, EACH)
        })
    }

    pub(crate) fn close(self) {
        self.store.close();
    }
}

/// Durable puts a second: one writer after the other, and many at once.
pub(crate) fn put(dir: &Path) -> Outcome<Vec<Row>> {
    let keep = fresh(dir, "put")?;
    let path = keep.path().join("store");
    let (mut puts, shapes) = PutBench::make(&path)?.shapes(&path)?;
    let mut bare = BareRedb::create(&keep.path().join("bare.redb"), CACHE, shapes)?;
    for _ in 0..2 * WRITERS {
        bare.put()?;
    }
    let (mut single, mut baseline, mut group) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        baseline.push(rate(SINGLE, || (0..SINGLE).try_for_each(|_| bare.put()))?);
        single.push(puts.single()?);
        group.push(puts.group()?);
    }
    puts.close();
    Ok(vec![
        Row::from_samples("store.put.single", "put/s", &single)
            .against("bare redb, the same bytes", &baseline),
        Row::from_samples("store.put.group64", "put/s", &group).against("store.put.single", &single),
    ])
}

/// Each secret has a writer of its own, and all begin at once.
pub(crate) fn together(store: &Store, secrets: &[SecretId], round: usize, each: usize) -> Outcome<()> {
    let barrier = Barrier::new(secrets.len());
    std::thread::scope(|scope| {
        let writers: Vec<_> = secrets
            .iter()
            .map(|secret| {
                let barrier = &barrier;
                scope.spawn(move || {
                    barrier.wait();
                    (0..each).try_for_each(|n| put_one(store, *secret, &format!("g{round}-{n}"), VALUE))
                })
            })
            .collect();
        writers.into_iter().try_for_each(|writer| match writer.join() {
            Ok(outcome) => outcome,
            Err(_) => Err("a writer panicked".into()),
        })
    })
}

/// Reads of a value of 1 KiB, each audited before it is answered; and the cryptography of one alone.
pub(crate) fn read(dir: &Path) -> Outcome<Vec<Row>> {
    const READS: usize = 2000;
    let keep = fresh(dir, "get")?;
    let path = keep.path().join("store");
    let (store, secrets) = make(&path, WRITERS)?;
    store.close();
    drop(store);
    let shapes = shape_of_a_put(view_file(&path.join(STORE_FILE))?.as_ref())?;
    let store = unlock(&path)?;
    let mut bare = BareRedb::create(&keep.path().join("bare.redb"), CACHE, shapes)?;
    for _ in 0..WRITERS {
        bare.put()?;
    }
    let (mut ours, mut baseline, mut crypto) = (Vec::new(), Vec::new(), Vec::new());
    let sealed = SealedSample::make()?;
    for _ in 0..ROUNDS {
        baseline.push(rate(READS, || {
            (0..READS as u64).try_for_each(|n| {
                black_box(bare.get(n % bare.written() + 1)?);
                Ok(())
            })
        })?);
        ours.push(rate(READS, || {
            secrets.iter().cycle().take(READS).try_for_each(|secret| {
                black_box(store.value(&GetValue::current(*secret), &meta()?)?);
                Ok(())
            })
        })?);
        crypto.push(rate(READS, || (0..READS).try_for_each(|_| sealed.open()))?);
    }
    store.close();
    Ok(vec![
        Row::from_samples("store.get.1k", "get/s", &ours)
            .against("bare redb get, the same records", &baseline),
        Row::from_samples("store.get.1k.crypto", "open/s", &crypto),
    ])
}

/// A wrapped data key and what it seals.
struct SealedSample {
    material: KeyMaterial,
    key: DataKeyContext,
    version: strongroom_model::name::VersionId,
    wrapped: Vec<u8>,
    value: strongroom_store::crypto::SealedValue,
}

impl SealedSample {
    fn make() -> Outcome<Self> {
        let material = KeyMaterial::generate()?;
        let key = DataKeyContext {
            store: StoreId::generate()?,
            namespace: NamespaceId::generate()?,
            secret: SecretId::generate()?,
            sequence: 1,
            key: KeyId::generate()?,
            key_version: 1,
        };
        let version = "v-0123456789abcdef".parse()?;
        let data_key = DataKey::generate()?;
        let wrapped = data_key.wrap(&material, &key)?;
        let context = context(&key, &version);
        let value = data_key.seal_value(&context, &vec![b'x'; VALUE])?;
        Ok(Self {
            material,
            key,
            version,
            wrapped,
            value,
        })
    }

    fn open(&self) -> Outcome<()> {
        let data_key = DataKey::unwrap(&self.wrapped, &self.material, &self.key)?;
        black_box(data_key.open_value(&context(&self.key, &self.version), &self.value)?);
        Ok(())
    }
}

fn context<'a>(key: &DataKeyContext, version: &'a strongroom_model::name::VersionId) -> ValueContext<'a> {
    ValueContext {
        store: key.store,
        namespace: key.namespace,
        secret: key.secret,
        sequence: key.sequence,
        version,
        data_type: DataType::Text,
    }
}

/// Seconds to open a store of half a gigabyte, all of it verified, its pages warm.
pub(crate) fn open(dir: &Path) -> Outcome<Vec<Row>> {
    const BYTES: u64 = 500_000_000;
    let keep = fresh(dir, "open")?;
    let path = keep.path().join("store");
    let (store, secrets) = make(&path, WRITERS)?;
    let file = path.join(STORE_FILE);
    for round in 0.. {
        if std::fs::metadata(&file)?.len() >= BYTES {
            break;
        }
        let namespace = store.run(
            BindNamespace {
                name: "bench".parse()?,
                uid: "uid-1".parse()?,
            },
            meta()?,
        )?;
        std::thread::scope(|scope| {
            let writers: Vec<_> = (0..secrets.len())
                .map(|writer| {
                    let store = &store;
                    scope.spawn(move || {
                        (0..20).try_for_each(|n| grow(store, namespace, &format!("{round}-{writer}-{n}")))
                    })
                })
                .collect();
            writers.into_iter().try_for_each(|writer| match writer.join() {
                Ok(outcome) => outcome,
                Err(_) => Err("a writer panicked".into()),
            })
        })?;
    }
    store.close();
    drop(store);
    let (mut ours, mut baseline) = (Vec::new(), Vec::new());
    for _ in 0..3 {
        let start = Instant::now();
        drop(redb_builder(CACHE).open(&file)?);
        baseline.push(start.elapsed().as_secs_f64());
        let start = Instant::now();
        let store = unlock(&path)?;
        ours.push(start.elapsed().as_secs_f64());
        store.close();
    }
    Ok(vec![
        Row::from_samples("store.open", "s", &ours).against("bare redb open, integrity checked", &baseline),
    ])
}

/// One more secret, of a size that certificates and configuration files have.
fn grow(store: &Store, namespace: NamespaceId, name: &str) -> Outcome<()> {
    let command = CreateSecret {
        value: value(8 * VALUE)?,
        ..new_secret(namespace, name)?
    };
    store.run(command, meta()?)?;
    Ok(())
}
