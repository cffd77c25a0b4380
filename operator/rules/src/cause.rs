//! Why a version exists, and the version id that follows from it.
//!
//! The id is a function of the secret and the cause, so that a reconcile that is repeated after a crash asks
//! the store for the version that it already made.

use std::fmt;

use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// Why a version is made.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Cause {
    /// The secret is new.
    Create,
    /// The spec declares other keys or literals than the current version has.
    Spec {
        /// UID of the ManagedSecret.
        uid: String,
        /// Its `metadata.generation` as the decision saw it.
        generation: i64,
    },
    /// The version of [`Cause::Spec`] exists, and another one that lacks what it declares was made current
    /// since.
    SpecAgain {
        /// UID of the ManagedSecret.
        uid: String,
        /// Its `metadata.generation` as the decision saw it.
        generation: i64,
        /// The newest version before.
        after: String,
    },
    /// A native Secret is adopted.
    Import {
        /// UID of the native Secret.
        uid: String,
        /// Its resourceVersion.
        resource_version: String,
    },
    /// Other sealed texts stand in the object.
    Sealed {
        /// A digest of the texts.
        declared: String,
        /// The version that was current; empty for a new secret.
        base: String,
    },
    /// A certificate is renewed, or stands with other roots.
    Certificate {
        /// What happens to it: a word.
        change: &'static str,
        /// The version that was current.
        base: String,
        /// The newest number of a version of the secret: a base that becomes current again is renewed again.
        newest: u64,
    },
    /// A schedule says that it is time.
    Rotate {
        /// UID of the RotationSchedule.
        schedule_uid: String,
        /// The time at which it was due, not the time at which it ran.
        due: Timestamp,
    },
    /// A person asks for it, with the annotation `strongroom.dev/rotate-now`.
    Now {
        /// The value of the annotation.
        annotation: String,
    },
}

impl fmt::Display for Cause {
    /// The text that goes into the id. INVARIANT: it never changes between releases.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Create => f.write_str("create"),
            Self::Spec { uid, generation } => write!(f, "spec:{uid}:{generation}"),
            Self::SpecAgain {
                uid,
                generation,
                after,
            } => write!(f, "spec:{uid}:{generation}:{after}"),
            Self::Import {
                uid,
                resource_version,
            } => write!(f, "import:{uid}:{resource_version}"),
            Self::Sealed { declared, base } => write!(f, "sealed:{declared}:{base}"),
            Self::Certificate { change, base, newest } => write!(f, "certificate:{change}:{base}:{newest}"),
            Self::Rotate { schedule_uid, due } => write!(f, "rotate:{schedule_uid}:{}", due.as_second()),
            Self::Now { annotation } => write!(f, "now:{annotation}"),
        }
    }
}

impl Cause {
    /// The version id of this cause for the secret with this id: `v-` and 16 characters of the lower-case RFC
    /// 4648 base32 alphabet, the first 80 bits of SHA-256 over the id and the cause.
    #[must_use]
    pub fn version_id(&self, secret_id: &[u8; 16]) -> String {
        let digest = Sha256::new()
            .chain_update(secret_id)
            .chain_update(self.to_string())
            .finalize();
        let mut text = data_encoding::BASE32_NOPAD.encode(&digest);
        text.truncate(16);
        text.make_ascii_lowercase();
        format!("v-{text}")
    }
}

/// A short digest, in hex, of what somebody wrote into an object: of an annotation or of sealed texts, never
/// of a value.
#[must_use]
pub fn text_digest(text: &str) -> String {
    let digest = Sha256::digest(text.as_bytes());
    data_encoding::HEXLOWER.encode(digest.get(..8).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn due(second: i64) -> Timestamp {
        Timestamp::from_second(second).expect("in range")
    }

    /// Computed with Python: base64.b32encode(hashlib.sha256(id + cause).digest())[:16].lower()
    #[test]
    fn ids_are_those_of_the_first_release() {
        let id: [u8; 16] = std::array::from_fn(|i| u8::try_from(i).expect("small"));
        let uid = "5f3c".to_owned();
        for (cause, text, version) in [
            (Cause::Create, "create", "v-n4ggyvl4yg76lwwv"),
            (
                Cause::Spec {
                    uid: uid.clone(),
                    generation: 3,
                },
                "spec:5f3c:3",
                "v-oz3kbij6bhq4ktlh",
            ),
            (
                Cause::SpecAgain {
                    uid: uid.clone(),
                    generation: 3,
                    after: "v-1".into(),
                },
                "spec:5f3c:3:v-1",
                "v-mdpkmfji4jsegdts",
            ),
            (
                Cause::Import {
                    uid: uid.clone(),
                    resource_version: "17".into(),
                },
                "import:5f3c:17",
                "v-zj4f6ltibq5jy3o6",
            ),
            (
                Cause::Rotate {
                    schedule_uid: uid,
                    due: due(1_700_000_000),
                },
                "rotate:5f3c:1700000000",
                "v-ulk72tockeg3txbq",
            ),
            (
                Cause::Sealed {
                    declared: "00ff".into(),
                    base: "v-1".into(),
                },
                "sealed:00ff:v-1",
                "v-fuv6ucru6ihkiuzq",
            ),
            (
                Cause::Certificate {
                    change: "renew",
                    base: "v-1".into(),
                    newest: 7,
                },
                "certificate:renew:v-1:7",
                "v-vhl5s762krximzfn",
            ),
            (
                Cause::Now {
                    annotation: "x".into(),
                },
                "now:x",
                "v-xtfzbqmzp7zo2sbw",
            ),
        ] {
            assert_eq!(cause.to_string(), text);
            assert_eq!(cause.version_id(&id), version);
        }
    }

    /// Labels in the store hold them. Computed with Python: hashlib.sha256(b"x").hexdigest()[:16]
    #[test]
    fn digests_of_texts_are_those_of_the_first_release() {
        assert_eq!(text_digest("x"), "2d711642b726b044");
    }

    proptest! {
        #[test]
        fn ids_have_their_form_and_differ_by_secret(a: [u8; 16], b: [u8; 16], annotation: String) {
            let cause = Cause::Now { annotation };
            let id = cause.version_id(&a);
            prop_assert_eq!(id.len(), 18);
            prop_assert!(id.strip_prefix("v-").is_some_and(|rest| rest.bytes().all(|c| matches!(c, b'a'..=b'z' | b'2'..=b'7'))));
            prop_assert_eq!(&id, &cause.version_id(&a));
            prop_assert_eq!(a == b, id == cause.version_id(&b));
        }
    }
}
