//! When the certificate of a secret is renewed, signed anew by another key of its authority, or given other
//! roots.

use jiff::{SignedDuration, Timestamp};
use sha2::{Digest, Sha256};

use crate::uid::Uid;

/// What was due before this process began is done over this part of the certificate's life, so that an
/// upgrade does not renew all at once.
const START_SPREAD_DIVISOR: i32 = 10;
/// What lives longer than this when the process begins …
const MIN_REMAINING_AT_START: SignedDuration = SignedDuration::from_hours(2);
/// … is left alone for so long.
const START_QUIET_PERIOD: SignedDuration = SignedDuration::from_hours(1);
/// A leaf waits for all others to trust a new key of their authority, at most this part of its life …
const TRUST_WAIT_DIVISOR: i32 = 20;
/// … and at most so long: a pod with the roots in a variable gets new ones only when it starts anew.
const MAX_TRUST_WAIT: SignedDuration = SignedDuration::from_mins(10);
/// For each leaf of an authority, so much is added to the time over which they are signed anew.
const SIGNING_DELAY_PER_LEAF: SignedDuration = SignedDuration::from_secs(5);
/// A former root stays at least so long: not everybody who has it is counted.
const MIN_ROOT_OVERLAP: SignedDuration = SignedDuration::from_mins(1);

/// The certificate of a secret's current version.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CertificateFacts {
    /// Its key in the value, such as `tls.crt`.
    pub key: String,
    /// When it was made, a little after it begins.
    pub made: Timestamp,
    /// When it ends.
    pub not_after: Timestamp,
    /// When it is to be renewed.
    pub policy: RenewalPolicy,
    /// Whose signature it has.
    pub signature: Signature,
    /// How long its source wants it to be valid.
    pub valid_for: SignedDuration,
    /// When the secret was last rotated, or made.
    pub rotated: Timestamp,
    /// When this process began to look after certificates.
    pub started: Timestamp,
}

/// When a certificate is to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RenewalPolicy {
    /// When two thirds of its life are over.
    Third,
    /// So long before its end.
    Before(SignedDuration),
    /// Not by itself, because the source says so.
    Never,
    /// Not by itself, because the native Secret is immutable.
    Immutable,
    /// Not here, because the value comes from elsewhere: it is only watched.
    Elsewhere,
}

/// Whose signature a certificate has, as seen from what its source names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Signature {
    /// It signs itself.
    Own {
        /// The roots that an authority had before, if it still names some.
        old_roots: Option<OldRoots>,
    },
    /// The authority has not been looked at yet, or holds no certificate.
    Unknown {
        /// Name of its ManagedSecret.
        authority: String,
    },
    /// That of the authority's current key.
    Current {
        /// Name of its ManagedSecret.
        authority: String,
        /// When the authority's certificate ends.
        ends: Timestamp,
        /// Chain and roots are those that the authority has.
        follows: bool,
    },
    /// That of a key that the authority had before.
    Former {
        /// Name of its ManagedSecret.
        authority: String,
        /// Since when it has another one.
        since: Timestamp,
        /// Chain and roots can be those that the authority has now: they hold the old root too.
        follows: RootsStatus,
        /// Everybody who is counted trusts the new key.
        trusted: bool,
        /// How many leaves the authority has.
        leaves: u32,
    },
    /// That of another authority than the one that the source names.
    Other {
        /// Name of the ManagedSecret that the source names.
        authority: String,
    },
}

/// Whether a certificate stands with the roots that its authority has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RootsStatus {
    /// It does.
    Yes,
    /// It would be valid with them, and is not signed anew yet.
    NotYet,
    /// It would not be valid with them.
    Cannot,
}

/// Roots that an authority had before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OldRoots {
    /// Since when it has the new one.
    pub since: Timestamp,
    /// Leaves that are still signed by the old key or have not the new root, and secrets whose consumers have
    /// an older version. Empty: nobody needs the old one.
    pub needed_by: Vec<String>,
}

/// A new version for the sake of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateChange {
    /// It gets a new end: a leaf with a new key, an authority with the same key and name.
    Renew,
    /// As `Renew`, because the authority has a new key.
    SignAnew,
    /// Certificate and key stay; chain and roots become those that the authority has now.
    FollowAuthority,
    /// Certificate and key stay; the roots that the authority had before go.
    DropOldRoots,
}

/// What happens to a certificate next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Renewal {
    /// It is time.
    Due(CertificateChange),
    /// It is renewed then.
    At(Timestamp),
    /// It is signed anew then, because the authority has a new key.
    SignedAnewAt(Timestamp),
    /// It cannot be valid for longer than its authority, which has to be renewed first.
    AfterAuthority,
    /// It is not known yet.
    Unknown,
    /// It does not by itself.
    Never,
}

impl CertificateFacts {
    /// What happens to the certificate of the object with this UID next.
    pub fn renewal(&self, object: &Uid, now: Timestamp) -> Renewal {
        if let Some(change) = self.of_authority(now) {
            return Renewal::Due(change);
        }
        let due = |at: Timestamp, change, later: fn(Timestamp) -> Renewal| {
            if at <= now {
                Renewal::Due(change)
            } else {
                later(at)
            }
        };
        let Some(renews) = self.renews_by_itself() else {
            return Renewal::Never;
        };
        let renews = self.spread(renews, object);
        match &self.signature {
            Signature::Unknown { .. } => Renewal::Unknown,
            Signature::Current { ends, .. } if *ends <= self.not_after => Renewal::AfterAuthority,
            Signature::Own { .. } | Signature::Current { .. } | Signature::Other { .. } => {
                due(renews, CertificateChange::Renew, Renewal::At)
            }
            Signature::Former { .. } => {
                let at = self.signed_anew(object).unwrap_or(renews).min(renews);
                due(at, CertificateChange::SignAnew, Renewal::SignedAnewAt)
            }
        }
    }

    /// What the authority's roots ask for. It costs nobody a key, so it is not spread.
    fn of_authority(&self, now: Timestamp) -> Option<CertificateChange> {
        if self.policy == RenewalPolicy::Immutable {
            return None;
        }
        match &self.signature {
            Signature::Current { follows: false, .. }
            | Signature::Former {
                follows: RootsStatus::NotYet,
                ..
            } => Some(CertificateChange::FollowAuthority),
            Signature::Own { old_roots: Some(old) } if old.needed_by.is_empty() && old.earliest() <= now => {
                Some(CertificateChange::DropOldRoots)
            }
            _ => None,
        }
    }

    /// How long it is valid in all from when it was made.
    pub fn life(&self) -> SignedDuration {
        self.not_after.duration_since(self.made)
    }

    /// Whether it is made here. Of one that comes from elsewhere only its end is said.
    pub fn is_ours(&self) -> bool {
        self.policy != RenewalPolicy::Elsewhere
    }

    /// Whether it has ended.
    pub fn has_ended(&self, now: Timestamp) -> bool {
        self.not_after <= now
    }

    /// From when on it ends soon and should have been renewed: half way between then and the end.
    pub fn alarms(&self) -> Timestamp {
        before(self.not_after, self.ahead().unwrap_or(self.life() / 3) / 2)
    }

    /// Whether it is valid for less time than its source wants, because its authority ends then.
    pub fn is_cut(&self) -> bool {
        matches!(&self.signature, Signature::Current { ends, .. } if *ends == self.not_after)
            && self.life() < self.valid_for
    }

    /// When to look again although nothing changed.
    pub fn wake(&self, object: &Uid, now: Timestamp) -> Option<Timestamp> {
        let next = match self.renewal(object, now) {
            Renewal::At(at) | Renewal::SignedAnewAt(at) => Some(at),
            Renewal::Due(_) | Renewal::AfterAuthority | Renewal::Unknown | Renewal::Never => None,
        };
        let overlap = match &self.signature {
            Signature::Own { old_roots: Some(old) } => Some(old.earliest()),
            _ => None,
        };
        [next, overlap, Some(self.alarms()), Some(self.not_after)]
            .into_iter()
            .flatten()
            .filter(|at| *at > now)
            .min()
    }

    /// How long before its end it is renewed; absent: never.
    fn ahead(&self) -> Option<SignedDuration> {
        let third = self.life() / 3;
        match self.policy {
            // A life that was cut short leaves less than was asked for.
            RenewalPolicy::Before(ahead) if ahead < self.life() => Some(ahead),
            RenewalPolicy::Third | RenewalPolicy::Before(_) => Some(third),
            RenewalPolicy::Never | RenewalPolicy::Immutable | RenewalPolicy::Elsewhere => None,
        }
    }

    /// When it is renewed by its own policy; absent: never.
    pub fn renews_by_itself(&self) -> Option<Timestamp> {
        Some(before(self.not_after, self.ahead()?))
    }

    /// When a leaf is signed anew after its authority got a new key: when all trust that, and not all leaves
    /// at once.
    fn signed_anew(&self, object: &Uid) -> Option<Timestamp> {
        let Signature::Former {
            since,
            trusted,
            leaves,
            ..
        } = &self.signature
        else {
            return None;
        };
        let wait = if *trusted {
            SignedDuration::ZERO
        } else {
            MAX_TRUST_WAIT.min(self.life() / TRUST_WAIT_DIVISOR)
        };
        let leaves = i32::try_from(*leaves).unwrap_or(i32::MAX);
        let apart = SIGNING_DELAY_PER_LEAF
            .checked_mul(leaves - 1)
            .unwrap_or(SignedDuration::MAX);
        let window = apart.min(self.life() / START_SPREAD_DIVISOR);
        let at = after(after(*since, wait), part(window, object));
        Some(self.spread(at, object))
    }

    /// What was due when the process began is spread, but never beyond the end.
    fn spread(&self, at: Timestamp, object: &Uid) -> Timestamp {
        let left = self.not_after.duration_since(self.started);
        if at > self.started || left <= SignedDuration::ZERO {
            return at;
        }
        let first = if left > MIN_REMAINING_AT_START {
            after(self.started, START_QUIET_PERIOD)
        } else {
            self.started
        };
        let window = (self.life() / START_SPREAD_DIVISOR).min(self.not_after.duration_since(first) / 2);
        after(first, part(window, object))
    }
}

impl OldRoots {
    fn earliest(&self) -> Timestamp {
        after(self.since, MIN_ROOT_OVERLAP)
    }
}

/// The part of a window that falls to an object: always the same one, and evenly over many.
fn part(window: SignedDuration, object: &Uid) -> SignedDuration {
    let digest = Sha256::digest(object.as_str().as_bytes());
    let [a, b, ..] = <[u8; 32]>::from(digest);
    let share = i128::from(u16::from_be_bytes([a, b]));
    let millis = window.as_millis().max(0) * share / (i128::from(u16::MAX) + 1);
    SignedDuration::from_millis(i64::try_from(millis).unwrap_or(i64::MAX))
}

fn before(time: Timestamp, ahead: SignedDuration) -> Timestamp {
    time.checked_sub(ahead).unwrap_or(Timestamp::MIN)
}

fn after(time: Timestamp, wait: SignedDuration) -> Timestamp {
    time.checked_add(wait).unwrap_or(Timestamp::MAX)
}
