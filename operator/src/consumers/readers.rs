//! Who reads a secret over the API, and which version each read last. A caller that has not read for a day is
//! none any more.

use std::collections::BTreeMap;
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
/// Readers that are kept, each of one secret.
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
    /// There were more than could be kept.
    left_out: bool,
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
            known.left_out = true;
            return false;
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

    /// Whether there was never one too many.
    pub(crate) fn complete(&self) -> bool {
        !self.known.lock().left_out
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
    fn too_many_are_not_kept_and_that_is_known() {
        let readers = ReaderTracker::default();
        let app = Identity::User("jane".to_owned());
        let who = ReaderIdentity {
            identity: &app,
            pod: None,
            node: None,
        };
        let secret = |number: usize| {
            let mut bytes = [0; 16];
            bytes[..8].copy_from_slice(&number.to_be_bytes());
            SecretId::from_bytes(bytes)
        };
        for number in 0..MAX_READERS {
            assert!(readers.record_read(secret(number), &version(1), who, Timestamp::UNIX_EPOCH));
        }
        assert!(readers.complete());
        assert!(!readers.record_read(secret(MAX_READERS), &version(1), who, Timestamp::UNIX_EPOCH));
        assert!(!readers.complete());
        assert!(readers.record_read(secret(0), &version(2), who, Timestamp::UNIX_EPOCH));
    }
}
