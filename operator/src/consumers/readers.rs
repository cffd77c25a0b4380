//! Who reads a secret over the API, and which version each read last. A caller that has not read for a day is
//! dropped.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use jiff::Timestamp;
use parking_lot::Mutex;
use strongroom_model::id::SecretId;
use strongroom_model::name::VersionId;
use strongroom_rules::policy::Identity;
use tokio::time::Instant;

/// After so long without a read a caller is forgotten.
const READER_TTL: Duration = Duration::from_secs(24 * 3_600);
/// Readers that are kept, each of one secret; over it the older half of the namespace with the most goes.
const MAX_READERS: usize = 16_384;

/// Who read which secret over the API, for [`READER_TTL`].
#[derive(Debug, Default)]
pub(crate) struct ReaderTracker {
    known: Mutex<TrackedReaders>,
    hasher: RandomState,
}

#[derive(Debug, Default)]
struct TrackedReaders {
    /// By secret and a number that stands for the caller.
    readers: BTreeMap<(SecretId, u64), Reader>,
    /// Secrets of which readers had to go.
    incomplete: BTreeSet<SecretId>,
    /// There are too many of those to be kept: it is so of all.
    all_incomplete: bool,
}

impl TrackedReaders {
    /// Forgets the readers that have not read for the longest, of the namespace that has the most: whoever
    /// reads much makes nobody else's readers go.
    fn make_room(&mut self) {
        let mut by_owner: HashMap<&str, Vec<Instant>> = HashMap::new();
        for reader in self.readers.values() {
            by_owner.entry(reader.owner()).or_default().push(reader.seen);
        }
        let Some((most, mut times)) = by_owner.into_iter().max_by_key(|(_, times)| times.len()) else {
            return;
        };
        let (most, half) = (most.to_owned(), times.len().div_ceil(2));
        let (_, middle, _) = times.select_nth_unstable(half - 1);
        let (middle, mut left) = (*middle, half);
        let incomplete = &mut self.incomplete;
        self.readers.retain(|(secret, _), reader| {
            let goes = left > 0 && reader.seen <= middle && reader.owner() == most;
            if goes {
                left -= 1;
                incomplete.insert(*secret);
            }
            !goes
        });
        if self.incomplete.len() > MAX_READERS {
            self.all_incomplete = true;
            self.incomplete.clear();
        }
    }
}

/// One caller that reads a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reader {
    /// Who it is, as policies name it.
    pub(crate) principal: String,
    /// The namespace of a ServiceAccount.
    pub(crate) namespace: Option<String>,
    /// The pod, where the token is bound to one.
    pub(crate) pod: Option<String>,
    /// The node, likewise.
    pub(crate) node: Option<String>,
    /// The version that it read last.
    pub(crate) version: VersionId,
    /// When that was.
    pub(crate) last: Timestamp,
    seen: Instant,
}

impl Reader {
    /// At whose expense it is kept.
    fn owner(&self) -> &str {
        self.namespace.as_deref().unwrap_or(&self.principal)
    }
}

/// Who reads.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ReaderIdentity<'a> {
    pub(crate) identity: &'a Identity,
    pub(crate) pod: Option<&'a str>,
    pub(crate) node: Option<&'a str>,
}

impl ReaderTracker {
    /// A caller has read a version, or was told that it has it. Answers whether that is news.
    pub(crate) fn record_read(
        &self,
        secret: SecretId,
        version: &VersionId,
        who: ReaderIdentity<'_>,
        now: Timestamp,
    ) -> bool {
        let number = self.hasher.hash_one((who.identity, who.pod));
        let mut known = self.known.lock();
        if let Some(reader) = known.readers.get_mut(&(secret, number)) {
            reader.last = now;
            reader.seen = Instant::now();
            let news = reader.version != *version;
            if news {
                reader.version = version.clone();
            }
            return news;
        }
        if known.readers.len() >= MAX_READERS {
            known.make_room();
        }
        let reader = Reader {
            principal: who.identity.to_string(),
            namespace: who.identity.namespace().map(str::to_owned),
            pod: who.pod.map(str::to_owned),
            node: who.node.map(str::to_owned),
            version: version.clone(),
            last: now,
            seen: Instant::now(),
        };
        known.readers.insert((secret, number), reader);
        true
    }

    /// Those of a secret, in order of their names.
    pub(crate) fn for_secret(&self, secret: SecretId) -> Vec<Reader> {
        let known = self.known.lock();
        let of = known.readers.range((secret, 0)..=(secret, u64::MAX));
        let mut readers: Vec<Reader> = of.map(|(_, reader)| reader.clone()).collect();
        readers.sort_by(|one, other| (&one.principal, &one.pod).cmp(&(&other.principal, &other.pod)));
        readers
    }

    /// Whether no reader of this secret had to go.
    pub(crate) fn complete_for(&self, secret: SecretId) -> bool {
        let known = self.known.lock();
        !known.all_incomplete && !known.incomplete.contains(&secret)
    }

    /// Forgets who has not read for a day.
    pub(crate) fn forget(&self) {
        let mut known = self.known.lock();
        known
            .readers
            .retain(|_, reader| reader.seen.elapsed() < READER_TTL);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn version(number: u32) -> VersionId {
        format!("v-{number}").parse().unwrap()
    }

    #[tokio::test(start_paused = true)]
    async fn a_caller_counts_for_the_version_that_it_read_last_until_a_day_has_passed() {
        let readers = ReaderTracker::default();
        let (one, other) = (SecretId::from_bytes([1; 16]), SecretId::from_bytes([2; 16]));
        let app = Identity::from_username("system:serviceaccount:shop:app");
        let who = |pod| ReaderIdentity {
            identity: &app,
            pod,
            node: None,
        };
        let now = Timestamp::UNIX_EPOCH;
        assert!(readers.record_read(one, &version(1), who(Some("a")), now));
        assert!(!readers.record_read(one, &version(1), who(Some("a")), now));
        assert!(readers.record_read(one, &version(1), who(Some("b")), now));
        assert!(readers.record_read(one, &version(2), who(Some("a")), now));
        assert!(readers.record_read(other, &version(9), who(None), now));
        let of = |secret| {
            let of = readers.for_secret(secret).into_iter();
            of.map(|reader| (reader.pod, reader.version)).collect::<Vec<_>>()
        };
        let (a, b) = (Some("a".to_owned()), Some("b".to_owned()));
        assert_eq!(of(one), [(a, version(2)), (b.clone(), version(1))]);
        assert_eq!(of(other), [(None, version(9))]);
        tokio::time::advance(READER_TTL / 2).await;
        readers.record_read(one, &version(1), who(Some("b")), now);
        tokio::time::advance(READER_TTL / 2).await;
        readers.forget();
        assert_eq!((of(one), of(other)), (vec![(b, version(1))], vec![]));
    }

    #[test]
    fn whoever_reads_too_much_makes_its_own_go_and_that_is_known() {
        let readers = ReaderTracker::default();
        let (app, neighbour) = (
            Identity::from_username("system:serviceaccount:shop:app"),
            Identity::from_username("system:serviceaccount:pay:app"),
        );
        let read = |identity: &Identity, secret: SecretId| {
            let who = ReaderIdentity {
                identity,
                pod: None,
                node: None,
            };
            readers.record_read(secret, &version(1), who, Timestamp::UNIX_EPOCH)
        };
        let secret = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            SecretId::from_bytes(bytes)
        };
        assert!(read(&neighbour, secret(0)));
        for number in 1..MAX_READERS {
            assert!(read(&app, secret(number)));
        }
        let complete = |number: usize| readers.complete_for(secret(number));
        assert!((0..MAX_READERS).all(complete));
        assert!(read(&app, secret(MAX_READERS)));
        assert!(complete(MAX_READERS) && complete(0));
        let kept = |number: usize| !readers.for_secret(secret(number)).is_empty();
        assert!(
            kept(0) && kept(MAX_READERS),
            "the neighbour's stays, and the newest"
        );
        let gone = (1..MAX_READERS).filter(|number| !kept(*number));
        assert_eq!(gone.clone().count(), MAX_READERS / 2);
        for number in gone {
            assert!(!complete(number), "{number}");
        }
    }
}
