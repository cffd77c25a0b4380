//! One entry of either chain. Must not hold a value or a hash of one; `detail` is for facts about the
//! request, such as a count.

use std::fmt;
use std::num::NonZeroU64;

use zeroize::Zeroizing;

use super::{Circumstances, Requester};
use crate::codec::{DecodeError, Reader, Writer};
use crate::id::{KeyId, RequestId, SecretId};
use crate::name::{NamespaceName, SecretName, Stage, VersionId};
use crate::time::Timestamp;

/// Who acts.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Actor {
    /// A controller of ours, for an object.
    Controller(String),
    /// A person at the process itself.
    Admin(String),
    /// An authenticated caller.
    Principal(String),
    /// The store, by its own rules.
    System,
}

impl Actor {
    const fn code(&self) -> u8 {
        match self {
            Self::Controller(_) => 1,
            Self::Admin(_) => 2,
            Self::Principal(_) => 3,
            Self::System => 4,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Controller(text) | Self::Admin(text) | Self::Principal(text) => text,
            Self::System => "",
        }
    }
}

impl fmt::Display for Actor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Controller(text) => write!(f, "controller {text}"),
            Self::Admin(text) => write!(f, "admin {text}"),
            Self::Principal(text) => f.write_str(text),
            Self::System => f.write_str("system"),
        }
    }
}

macro_rules! actions {
    ($($(#[$doc:meta])* $name:ident = $code:literal)*) => {
        /// What was done. The codes are part of the format.
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
        pub enum Action { $($(#[$doc])* $name,)* }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The stable code.
            #[must_use]
            pub const fn code(self) -> u8 {
                match self { $(Self::$name => $code,)* }
            }

            /// The name, as policies and sinks write it.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)* }
            }

            /// The action of a stable code.
            ///
            /// # Errors
            /// [`DecodeError::Invalid`].
            pub const fn from_code(code: u8) -> Result<Self, DecodeError> {
                match code {
                    $($code => Ok(Self::$name),)*
                    _ => Err(DecodeError::Invalid("action")),
                }
            }
        }
    };
}

actions! {
    /// A secret and its first version were made.
    CreateSecret = 1
    /// A version was written.
    PutSecretValue = 2
    /// A version was made because it was due or declared.
    RotateSecret = 3
    /// Description, labels or key changed.
    UpdateSecret = 4
    /// A label was added, moved or removed.
    UpdateSecretVersionStage = 5
    /// The recovery window opened, or the secret was destroyed at once.
    DeleteSecret = 6
    /// The secret came back.
    RestoreSecret = 7
    /// The secret was destroyed.
    PurgeSecret = 8
    /// A value was read.
    GetSecretValue = 9
    /// Metadata were read.
    DescribeSecret = 10
    /// Secrets were listed.
    ListSecrets = 11
    /// Versions were listed.
    ListSecretVersionIds = 12
    /// A decision was explained.
    ExplainAccess = 13
    /// A caller could not prove who it is.
    Authenticate = 14
    /// A customer's key opened a data key.
    Decrypt = 15
    /// A customer's key wrapped a new data key.
    GenerateDataKey = 16
    /// An encryption key was made.
    CreateKey = 20
    /// An encryption key works again.
    EnableKey = 21
    /// An encryption key refuses.
    DisableKey = 22
    /// An encryption key will be destroyed.
    ScheduleKeyDeletion = 23
    /// An encryption key stays.
    CancelKeyDeletion = 24
    /// An encryption key has a new primary version.
    RotateKey = 25
    /// Data keys moved to the primary version.
    Rewrap = 26
    /// An encryption key was destroyed.
    DestroyKey = 27
    /// An old version of an encryption key was destroyed.
    DestroyKeyVersion = 28
    /// A namespace was seen for the first time.
    BindNamespace = 40
    /// A namespace made again was accepted as the old one.
    AcceptNamespace = 41
    /// A secret was bound to the object that declares it.
    BindObject = 42
    /// A secret was written to, or let go of, a native object.
    BindMaterialized = 43
    /// Another generation of an access policy came into force.
    EnforcePolicy = 44
    /// An access policy is gone.
    RemovePolicy = 45
    /// What an object declares was changed, and counts from now on.
    DeclareObject = 46
    /// An object that declares something is gone.
    WithdrawObject = 47
    /// The store was made.
    CreateStore = 60
    /// The store was opened by a new epoch.
    OpenStore = 61
    /// A backup was taken.
    Backup = 62
    /// The store came out of a backup.
    Restore = 63
    /// A seal slot came or went.
    ChangeSeal = 64
    /// An older copy of the store was accepted by a person.
    AcceptRollback = 65
    /// Somebody began to list the audit.
    ReadAudit = 66
    /// Sealed texts of a manifest were sealed anew.
    RenewSealedValues = 67
    /// The oldest records of the audit were cut.
    TruncateAudit = 68
    /// Requests of several kinds were refused that are not told one by one.
    RefuseMore = 69
    /// The read chain's place, while there are reads.
    Checkpoint = 80
}

/// How it ended.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum AuditOutcome {
    /// It was done.
    Done,
    /// It was refused or failed, with this stable code.
    Refused(String),
}

/// Who did what and how it ended: what a record of either chain holds.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Entry {
    /// When, by the wall clock of the process.
    pub time: Timestamp,
    /// Who asked for it.
    pub actor: Actor,
    /// What was asked for.
    pub action: Action,
    /// How it ended.
    pub outcome: AuditOutcome,
    /// In which namespace.
    pub namespace: Option<NamespaceName>,
    /// On which secret, by name.
    pub secret: Option<SecretName>,
    /// On which secret, by id.
    pub secret_id: Option<SecretId>,
    /// Which version.
    pub version: Option<VersionId>,
    /// Which label.
    pub stage: Option<Stage>,
    /// Under which encryption key.
    pub key: Option<KeyId>,
    /// For which request.
    pub request: Option<RequestId>,
    /// Facts about the request, at most 256 bytes; never about a value.
    pub detail: String,
    /// Of a request from outside: where it came from, and what decided.
    pub circumstances: Option<Box<Circumstances>>,
    /// How many requests it stands for: 1, but for a sum of refusals.
    pub count: NonZeroU64,
    /// Whom the actor, a node, says that it served, at most 256 bytes. Nobody else saw it.
    pub claimed: Option<String>,
    /// Of what a controller does because of an object: who wrote that.
    pub requester: Option<Requester>,
}

impl Entry {
    /// An entry about nothing in particular yet.
    #[must_use]
    pub const fn new(time: Timestamp, actor: Actor, action: Action) -> Self {
        Self {
            time,
            actor,
            action,
            outcome: AuditOutcome::Done,
            namespace: None,
            secret: None,
            secret_id: None,
            version: None,
            stage: None,
            key: None,
            request: None,
            detail: String::new(),
            circumstances: None,
            count: NonZeroU64::MIN,
            claimed: None,
            requester: None,
        }
    }

    /// Whether it stands for more than one request, or for what somebody says of another.
    const fn is_extended(&self) -> bool {
        self.count.get() > 1 || self.claimed.is_some()
    }

    /// Whether the caller came over the extension API.
    fn is_over_extension_api(&self) -> bool {
        self.circumstances
            .as_ref()
            .is_some_and(|circumstances| circumstances.extension_api)
    }

    /// The first byte: 1, 2 where the circumstances follow, 3 where a count and a claim do as well, 4, which
    /// is 3 of a request over the extension API, or 5 where the requester follows after those. The lowest
    /// that says it all, so that an older program refuses no more than it must.
    fn format(&self) -> u8 {
        match (self.is_extended(), &self.circumstances) {
            _ if self.requester.is_some() => 5,
            _ if self.is_over_extension_api() => 4,
            (true, _) => 3,
            (false, Some(_)) => 2,
            (false, None) => 1,
        }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Zeroizing<Vec<u8>> {
        let mut writer = Writer::with_capacity(256);
        let format = self.format();
        writer
            .u8(format)
            .i64(self.time.as_millis())
            .u8(self.actor.code())
            .text(cut(self.actor.text()))
            .u8(self.action.code());
        match &self.outcome {
            AuditOutcome::Done => writer.u8(0),
            AuditOutcome::Refused(code) => writer.u8(1).text(cut(code)),
        };
        writer
            .option(self.namespace.as_ref(), |w, name| w.text(name.as_str()))
            .option(self.secret.as_ref(), |w, name| w.text(name.as_str()))
            .option(self.secret_id, |w, id| w.fixed(id.as_bytes()))
            .option(self.version.as_ref(), |w, id| w.text(id.as_str()))
            .option(self.stage.as_ref(), |w, stage| w.text(stage.as_str()))
            .option(self.key, |w, id| w.fixed(id.as_bytes()))
            .option(self.request, |w, id| w.fixed(id.as_bytes()))
            .text(cut(&self.detail));
        if format >= 3 {
            writer
                .option(self.circumstances.as_ref(), |w, circumstances| {
                    circumstances.encode(w);
                    w
                })
                .u64(self.count.get())
                .option(self.claimed.as_ref(), |w, claimed| w.text(cut(claimed)));
            if let Some(requester) = &self.requester {
                requester.encode(&mut writer);
            }
        } else if let Some(circumstances) = &self.circumstances {
            circumstances.encode(&mut writer);
        }
        writer.finish()
    }

    /// Reads canonical bytes.
    ///
    /// # Errors
    /// [`DecodeError`].
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        fn name<T: std::str::FromStr>(r: &mut Reader<'_>, field: &'static str) -> Result<T, DecodeError> {
            r.text(field)?.parse().map_err(|_| DecodeError::Invalid(field))
        }
        let mut r = Reader::new(bytes);
        let format = match r.u8()? {
            known @ 1..=5 => known,
            newer => return Err(DecodeError::UnknownFormat(newer)),
        };
        let time = Timestamp::from_millis(r.i64()?);
        let actor = match (r.u8()?, short(&mut r, "actor")?.to_owned()) {
            (1, text) => Actor::Controller(text),
            (2, text) => Actor::Admin(text),
            (3, text) => Actor::Principal(text),
            (4, text) if text.is_empty() => Actor::System,
            _ => return Err(DecodeError::Invalid("actor")),
        };
        let action = Action::from_code(r.u8()?)?;
        let outcome = match r.u8()? {
            0 => AuditOutcome::Done,
            1 => AuditOutcome::Refused(short(&mut r, "outcome")?.to_owned()),
            _ => return Err(DecodeError::Invalid("outcome")),
        };
        let mut entry = Self {
            time,
            actor,
            action,
            outcome,
            namespace: r.option("namespace", |r| name(r, "namespace"))?,
            secret: r.option("secret", |r| name(r, "secret"))?,
            secret_id: r.option("secret id", |r| r.array().map(SecretId::from_bytes))?,
            version: r.option("version", |r| name(r, "version"))?,
            stage: r.option("stage", |r| name(r, "stage"))?,
            key: r.option("key", |r| r.array().map(KeyId::from_bytes))?,
            request: r.option("request", |r| r.array().map(RequestId::from_bytes))?,
            detail: short(&mut r, "detail")?.to_owned(),
            circumstances: None,
            count: NonZeroU64::MIN,
            claimed: None,
            requester: None,
        };
        let circumstances = |r: &mut Reader<'_>| Circumstances::decode(r).map(Box::new);
        if format == 2 {
            entry.circumstances = Some(circumstances(&mut r)?);
        }
        if format >= 3 {
            entry.circumstances = r.option("circumstances", circumstances)?;
            entry.count = NonZeroU64::new(r.u64()?).ok_or(DecodeError::Invalid("count"))?;
            entry.claimed = r.option("claim", |r| Ok(short(r, "claim")?.to_owned()))?;
        }
        if format == 5 {
            entry.requester = Some(Requester::decode(&mut r)?);
        }
        // One entry has one form.
        if entry.format() != format {
            return Err(DecodeError::Invalid("format"));
        }
        r.end()?;
        Ok(entry)
    }
}

/// Longest free text of an entry, in bytes.
pub(super) const MAX_TEXT_BYTES: usize = 256;

/// At most [`MAX_TEXT_BYTES`], at a character's border.
pub(super) fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(MAX_TEXT_BYTES))
        .unwrap_or(text)
}

/// A text that [`cut`] may have made.
pub(super) fn short<'a>(r: &mut Reader<'a>, field: &'static str) -> Result<&'a str, DecodeError> {
    let text = r.text(field)?;
    if text.len() > MAX_TEXT_BYTES {
        return Err(DecodeError::Invalid(field));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::audit::{Author, MAX_GROUPS};
    use proptest::prelude::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        for action in Action::ALL {
            assert_eq!(Action::from_code(action.code()), Ok(*action));
        }
        assert!(Action::from_code(0).is_err());
    }

    #[test]
    fn entries_round_trip() {
        let mut entry = Entry::new(
            Timestamp::from_millis(5),
            Actor::Controller("shop/db".into()),
            Action::RotateSecret,
        );
        entry.outcome = AuditOutcome::Refused("KeyDisabled".into());
        entry.namespace = Some("shop".parse().unwrap());
        entry.secret = Some("checkout/db".parse().unwrap());
        entry.stage = Some(Stage::Current);
        entry.detail = "ä".repeat(200);
        let read = Entry::decode(&entry.encode()).unwrap();
        assert_eq!(read.detail, "ä".repeat(128));
        entry.detail = read.detail.clone();
        assert_eq!(read, entry);
    }

    #[test]
    fn circumstances_follow_in_a_format_of_their_own() {
        let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::Backup);
        let before = entry.encode();
        for source in ["10.1.2.3", "fd00::1"] {
            entry.circumstances = Some(Box::new(Circumstances {
                source: Some(source.parse().unwrap()),
                pod: Some("checkout-7d".into()),
                node: Some("n".repeat(256)),
                offline: true,
                extension_api: false,
                statements: vec!["statement 1 of SecretPolicy `shop/p`".into(); super::super::MAX_STATEMENTS],
                latency_micros: Some(417),
            }));
            let bytes = entry.encode();
            assert_eq!(bytes[0], 2);
            assert_eq!(bytes[1..before.len()], before[1..]);
            assert_eq!(Entry::decode(&bytes).unwrap(), entry);
        }
        entry.circumstances = Some(Box::new(Circumstances {
            statements: vec![String::new(); 100],
            ..Circumstances::default()
        }));
        let read = Entry::decode(&entry.encode()).unwrap();
        assert_eq!(
            read.circumstances.unwrap().statements.len(),
            8,
            "the rest is left out"
        );
    }

    #[test]
    fn a_count_and_a_claim_follow_in_a_third_format() {
        let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::GetSecretValue);
        let about = Circumstances {
            node: Some("n-1".into()),
            ..Circumstances::default()
        };
        for circumstances in [None, Some(Box::new(about))] {
            entry.circumstances = circumstances;
            for (count, claimed) in [
                (4_711, None),
                (1, Some("serviceaccount shop/app".to_owned())),
                (2, Some(String::new())),
            ] {
                entry.count = NonZeroU64::new(count).unwrap();
                entry.claimed = claimed;
                let bytes = entry.encode();
                assert_eq!(bytes[0], 3);
                assert_eq!(Entry::decode(&bytes).unwrap(), entry);
            }
        }
        // Written in the third format, it says nothing that the others do not: one value has one encoding.
        entry.count = NonZeroU64::new(2).unwrap();
        entry.claimed = None;
        for (count, field) in [(0, "count"), (1, "format")] {
            let mut bytes = entry.encode().to_vec();
            let at = bytes.len() - 2;
            bytes[at] = count;
            assert_eq!(Entry::decode(&bytes), Err(DecodeError::Invalid(field)));
        }
    }

    #[test]
    fn a_request_over_the_extension_api_has_a_format_of_its_own() {
        let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::GetSecretValue);
        for offline in [false, true] {
            for (count, claimed) in [(1, None), (4_711, None), (1, Some("n-1".to_owned()))] {
                entry.count = NonZeroU64::new(count).unwrap();
                entry.claimed = claimed;
                let mut about = Circumstances {
                    offline,
                    extension_api: true,
                    ..Circumstances::default()
                };
                entry.circumstances = Some(Box::new(about.clone()));
                let bytes = entry.encode();
                assert_eq!(bytes[0], 4);
                assert_eq!(Entry::decode(&bytes).unwrap(), entry);
                // No other format says it, and this one says nothing else.
                for other in [1, 2, 3, 5, 6] {
                    let mut bytes = bytes.to_vec();
                    bytes[0] = other;
                    assert!(Entry::decode(&bytes).is_err(), "{other}");
                }
                about.extension_api = false;
                entry.circumstances = Some(Box::new(about));
                let mut bytes = entry.encode().to_vec();
                bytes[0] = 5;
                assert!(Entry::decode(&bytes).is_err());
            }
        }
    }

    #[test]
    fn a_requester_follows_in_a_fifth_format() {
        let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::CreateSecret);
        let jane = Requester::Attested(Author {
            user: "jane".into(),
            groups: vec!["ops".into(); MAX_GROUPS],
            uid: "u-1".into(),
        });
        let over_extension_api = Circumstances {
            extension_api: true,
            ..Circumstances::default()
        };
        for requester in [Requester::Unattested, jane] {
            for claimed in [None, Some("app".to_owned())] {
                for circumstances in [
                    None,
                    Some(Box::default()),
                    Some(Box::new(over_extension_api.clone())),
                ] {
                    entry.requester = Some(requester.clone());
                    entry.claimed = claimed.clone();
                    entry.circumstances = circumstances;
                    let bytes = entry.encode();
                    assert_eq!(bytes[0], 5);
                    assert_eq!(Entry::decode(&bytes).unwrap(), entry);
                    for other in 1..=4 {
                        let mut bytes = bytes.to_vec();
                        bytes[0] = other;
                        assert!(Entry::decode(&bytes).is_err(), "{other}");
                    }
                }
            }
        }
        let many = Author {
            user: "u".repeat(300),
            groups: vec!["g".into(); 600],
            uid: String::new(),
        };
        entry.requester = Some(Requester::Attested(many));
        let read = Entry::decode(&entry.encode()).unwrap();
        let Some(Requester::Attested(author)) = read.requester else {
            panic!("an author")
        };
        assert_eq!((author.user.len(), author.groups.len()), (256, MAX_GROUPS));
    }

    /// As a store of the first release holds it.
    #[test]
    fn an_entry_of_format_1_is_read() {
        let mut bytes = vec![1, 0, 0, 0, 0, 0, 0, 0, 5, 4, 0, 0, 0, 0, 62, 0];
        bytes.extend_from_slice(&[0; 7]);
        bytes.extend_from_slice(&[0, 0, 0, 1, b'a']);
        let entry = Entry::decode(&bytes).unwrap();
        assert_eq!((entry.action, entry.detail.as_str()), (Action::Backup, "a"));
        assert_eq!(entry.circumstances, None);
        assert_eq!(*entry.encode(), bytes);
    }

    #[test]
    fn a_text_that_is_never_written_is_not_read() {
        let mut entry = Entry::new(Timestamp::from_millis(5), Actor::System, Action::Backup);
        entry.detail = "a".repeat(256);
        let mut bytes = entry.encode().to_vec();
        assert_eq!(Entry::decode(&bytes), Ok(entry));
        let length = bytes.len() - 256 - 4;
        bytes[length..length + 4].copy_from_slice(&257_u32.to_be_bytes());
        bytes.push(b'a');
        assert_eq!(Entry::decode(&bytes), Err(DecodeError::Invalid("detail")));
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = Entry::decode(&bytes);
        }
    }
}
