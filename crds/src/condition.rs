//! The vocabulary of conditions: which there are, and one reason for each cause. No other code may add one.
//!
//! `Ready`, `Reconciling` and `Stalled` mean what kstatus defines
//! (<https://github.com/kubernetes-sigs/cli-utils/blob/master/pkg/kstatus/README.md>), so that
//! `kubectl wait`, Flux and Argo CD understand them.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};

/// Longest message of a condition that Kubernetes accepts, in bytes.
const MESSAGE_BYTES: usize = 32_768;

macro_rules! vocabulary {
    (
        $(#[doc = $about:literal])+
        pub enum $vocabulary:ident;
        $($(#[doc = $doc:literal])+ $name:ident,)+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $vocabulary {
            $($(#[doc = $doc])+ $name,)+
        }

        impl $vocabulary {
            /// All of them, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The word that a condition has for it.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => stringify!($name),)+
                }
            }

            /// What it says, and what there is to do or when it is there.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self {
                    $(Self::$name => concat!($($doc),+),)+
                }
            }
        }

        impl fmt::Display for $vocabulary {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }
    };
}

vocabulary! {
    /// What a condition speaks about.
    pub enum ConditionType;
    /// Whether the object is as its spec says. Always there; Unknown while the controller works.
    Ready,
    /// There while the controller works towards the spec (True) and gone when it has arrived.
    Reconciling,
    /// There (True) while a person must act: trying again alone does not help.
    Stalled,
    /// How the last rotation went. There once a schedule rotates the secret.
    Rotated,
    /// Whether the keys were made by the generators that the spec has now. There (False) while some were not.
    GeneratorCurrent,
    /// Whether the sealed values in the object are sealed for the cluster's newest key. There for sealed
    /// sources.
    SealCurrent,
    /// Of a secret, whether all volumes show the version that they follow; there while it is in volumes. Of a
    /// SecretProduct, whether its own audit sink has its records; there while it has one.
    Delivered,
    /// Whether the certificate of the current version is valid for a while yet, and from the authority that
    /// its source names. There for x509 sources.
    CertificateCurrent,
    /// Whether each principal of RAM in a policy stands for somebody. There for policies that name some.
    PrincipalsResolved,
    /// Whether a product may own more secrets. There for SecretProducts.
    QuotaAvailable,
}

impl ConditionType {
    /// The type of this `type`, if it is one of ours.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|type_| type_.as_str() == name)
    }
}

/// The `status` of a condition, as `metav1.Condition` has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
    /// It is not known yet.
    Unknown,
}

impl ConditionStatus {
    /// The `status` of the condition.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Who makes a condition that is not `True` heal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Retryability {
    /// Nothing is wrong.
    Fine,
    /// Time: the controller tries again, or waits for something that it watches.
    Retry,
    /// A person: the object, another object or the installation must change. Such a condition is `Stalled`.
    Person,
}

macro_rules! reasons {
    ($($(#[doc = $doc:literal])+ $name:ident => $retryability:ident,)+) => {
        vocabulary! {
            /// Why a condition is as it is: one reason for each cause.
            pub enum Reason;
            $($(#[doc = $doc])+ $name,)+
        }

        impl Reason {
            /// Who makes it heal.
            #[must_use]
            pub const fn retryability(self) -> Retryability {
                match self {
                    $(Self::$name => Retryability::$retryability,)+
                }
            }
        }
    };
}

reasons! {
    // The course of things.
    /// All is as the spec says.
    Ready => Fine,
    /// The controller is working on it.
    Progressing => Fine,
    /// `spec.suspend` is true.
    Suspended => Fine,
    /// The last rotation succeeded.
    Rotated => Fine,
    /// A rotation is due and waits for the window or its turn.
    RotationPending => Fine,

    // The object itself.
    /// `spec.source` cannot make a value, although each field is well formed.
    SourceInvalid => Person,
    /// A template of `spec.secret.template` is wrong.
    TemplateInvalid => Person,
    /// `spec.secret` cannot be written as it stands: a missing key, or one the type requires.
    NativeSecretInvalid => Person,
    /// The schedule, its time zone or its window is not valid.
    ScheduleInvalid => Person,
    /// A statement of the policy cannot be compiled; what was in force before stays in force.
    PolicyInvalid => Person,
    /// With this policy, the namespace would have more statements in force than it may.
    PolicyTooLarge => Person,
    /// The objects of the namespace use up its share of memory, or this object is too large: it is not
    /// reconciled.
    NamespaceObjectsTooLarge => Person,
    /// The value or the native Secret is over its size limit.
    ValueTooLarge => Person,
    /// The value of a `strongroom.dev/…` annotation is not valid.
    AnnotationInvalid => Person,

    /// A sealed value in the object is for another cluster, namespace, secret or key, or is not a sealed
    /// text.
    SealInvalid => Person,
    /// All values are sealed for the newest key.
    SealCurrent => Fine,
    /// A value is sealed for an older key, which still opens it.
    SealOld => Fine,
    /// All volumes show the version that they follow, or the product's audit sink has its records.
    Delivered => Fine,
    /// Some volumes show another version than the one that they follow.
    VolumesBehind => Retry,

    /// The certificate is valid, and from the authority that its source names.
    CertificateCurrent => Fine,
    /// The certificate is valid for less time than its `validFor`, because its authority ends then.
    ValidityCut => Fine,
    /// The certificate ends soon and was not renewed.
    CertificateExpiring => Person,
    /// The certificate has ended.
    CertificateExpired => Person,
    /// The certificate was signed by a key that its authority does not have any more.
    AuthorityChanged => Retry,
    /// The schedule's next rotation comes after the end of the certificate.
    ScheduleTooLong => Person,

    // Other objects.
    /// Another ManagedSecret of the namespace has the same name in the store.
    DuplicateStoreName => Person,
    /// The source is external, and no value has arrived yet.
    AwaitingValue => Retry,
    /// The native Secret to import does not exist.
    ImportSourceMissing => Retry,
    /// The native Secret to import is of a type that is not imported, is empty or is owned by another
    /// ManagedSecret.
    ImportRefused => Person,
    /// A native Secret of this name exists, and we did not make it.
    TargetNotOwned => Person,
    /// The native Secret is one that Strongroom itself depends on, such as the credentials for its backups.
    TargetReserved => Person,
    /// The native Secret is being deleted, and waits for a finalizer.
    NativeSecretTerminating => Retry,
    /// Somebody changes the native Secret again and again; it is put back later each time.
    NativeSecretContested => Retry,
    /// Mutating admission changes the native Secret as it is written.
    NativeSecretMutated => Retry,
    /// A native Secret was taken over as it is, and what `spec.secret` asks for needs a new one; the message
    /// says what to change.
    ReplacementUnasked => Person,
    /// The API server refuses the native Secret: a policy, a quota, a webhook.
    TargetRefused => Retry,
    /// The ManagedSecret of the certificate authority does not exist or is not ready.
    AuthorityNotReady => Retry,
    /// The ManagedSecret of the certificate authority holds no authority under this key, or it has expired.
    AuthorityInvalid => Person,
    /// Two schedules claim the secret equally.
    ScheduleConflict => Person,
    /// The schedule names a ManagedSecret that is not there, or selects none yet.
    NothingSelected => Retry,
    /// The schedule's rotator has nothing to make again in this secret.
    NothingToRotate => Person,
    /// The native Secret is immutable, so that its value stays; a schedule, a request or an edit asks for
    /// another one.
    ImmutableNotRotatable => Person,
    /// The schedule's jitter is longer than the time from one of its times to the next; it rotates all the
    /// same.
    JitterTooLong => Person,
    /// The text of `strongroom.dev/rotate-now` was used before, so nothing is rotated.
    RotateNowRepeated => Person,
    /// A generator was edited after its key was made; an edit alone does not make a new value.
    GeneratorChanged => Fine,
    /// The schedule names ManagedSecrets that cannot rotate now; the status says which.
    SecretsNotReady => Retry,
    /// The ManagedSecret should have been rotated by its schedule a while ago; its own conditions say why it
    /// was not.
    RotationOverdue => Retry,

    /// Each principal of RAM that the policy names stands for somebody.
    PrincipalsResolved => Fine,
    /// A principal of RAM that the policy names stands for nobody yet: no Namespace has its account, or no
    /// ServiceAccount there is its user or role.
    PrincipalUnknown => Retry,
    /// Several Namespaces have the account of a principal of RAM, or several ServiceAccounts are its user or
    /// role: an Allow is for none of them, and a Deny for all.
    PrincipalAmbiguous => Person,

    // Products and their default secrets.
    /// There is no SecretProduct of the code that the name in the store begins with.
    ProductUnknown => Person,
    /// The author of the object is not a manager of the product and does not have the verb `manage` on it.
    NotManager => Person,
    /// No attestation says who wrote the object, so that nothing is made for a product.
    NotAttested => Person,
    /// `spec.namespaces` of the SecretProduct does not select the namespace.
    NamespaceNotSelected => Person,
    /// The product does not offer the hosting that `spec.encryptionKey` of the object stands for.
    HostingNotOffered => Person,
    /// No policy of the namespace lets the managers of the product use the EncryptionKey.
    KeyNotGranted => Person,
    /// The product owns as many secrets as its quota allows; those in a recovery window count.
    QuotaExceeded => Person,
    /// The product may own more secrets.
    QuotaAvailable => Fine,
    /// The object is older than the product: a name that existed before does not belong to the product.
    ProductNewer => Person,
    /// The SecretProduct has other managers than the one that made the secrets, or a manager's namespace was
    /// made again: nothing of its secrets is changed until somebody adopts it.
    ProductChanged => Person,
    /// The SecretProduct was deleted: its secrets can be read, and nothing of them is changed.
    ProductAbsent => Person,
    /// `spec.suspend` of the SecretProduct is true: nothing of its secrets is changed.
    ProductSuspended => Person,
    /// A ServiceAccount that `spec.managers` names does not exist, or its namespace.
    ManagerMissing => Retry,
    /// The chart has no gateway of the name in `spec.paid.gateway` that is for the product.
    GatewayMissing => Person,
    /// The chart has no audit sink of the name in `spec.paid.auditSink` that is the product's.
    SinkMissing => Person,
    /// The product's audit sink receives no records: they wait for at most its `maxLag`.
    SinkLagging => Retry,
    /// The product's audit sink misses audit records that it did not receive in time. They are in the audit
    /// log, and with the next records that the sink receives, one says which it misses.
    RecordsLost => Retry,
    /// The code `strongroom` belongs to Strongroom itself.
    CodeReserved => Person,

    // Life and death.
    /// A secret of this name is in its recovery window: restore or purge it.
    InRecoveryWindow => Person,
    /// The store holds a secret of this name whose object is gone; this object does not adopt it unless it is
    /// asked to.
    NameTaken => Person,
    /// The store does not know the secret of `status.secretId`.
    StoreLost => Person,
    /// The namespace was made again under its old name; an administrator must accept the secrets of the old
    /// one.
    NamespaceRecreated => Person,
    /// The namespace is terminating: nothing is written into it.
    NamespaceTerminating => Fine,

    // Making and rotating.
    /// The value could not be made.
    GenerateFailed => Retry,
    /// A step of the rotation failed; the version before it stays Current.
    RotationStepFailed => Retry,

    // The store and its keys.
    /// The store does not answer, or accepts no writes.
    StoreUnavailable => Retry,
    /// The disk under the store is full.
    StoreFull => Person,
    /// The namespace has used up its share of the store: no new secret, and no larger value.
    NamespaceFull => Person,
    /// The record of the secret in the store is damaged: restore a backup.
    StoreDamaged => Person,
    /// No audit record can be written, so nothing is read or changed.
    AuditUnavailable => Retry,
    /// The encryption key is disabled or waits for its deletion.
    KeyDisabled => Person,
    /// There is no encryption key of this name yet.
    KeyNotReady => Retry,
    /// An EncryptionKey says that the secret must lie under it, or a product offers paid hosting alone, and
    /// `spec.encryptionKey` names another key or none.
    KeyRequired => Person,
    /// The object of the encryption key is gone while secrets depend on the key; the key works on until
    /// somebody decides.
    KeyObjectMissing => Person,

    // The API server and what it lets us do.
    /// The API server does not answer.
    ApiUnavailable => Retry,
    /// The API server refuses what the controller's Role should allow.
    ApiForbidden => Person,
    /// A policy of Strongroom denies it.
    PolicyDenied => Person,
}

/// Builds a condition as of `now`; a message that is too long for Kubernetes is cut.
#[must_use]
pub fn condition(
    type_: ConditionType,
    status: ConditionStatus,
    reason: Reason,
    message: impl Into<String>,
    observed_generation: Option<i64>,
    now: Time,
) -> Condition {
    let mut message = message.into();
    message.truncate(message.floor_char_boundary(MESSAGE_BYTES));
    Condition {
        type_: type_.as_str().to_owned(),
        status: status.as_str().to_owned(),
        reason: reason.as_str().to_owned(),
        message,
        observed_generation,
        last_transition_time: now,
    }
}

/// The conditions that follow `before`: exactly `wanted`, each with its old transition time if its status did
/// not change.
///
/// A condition that is not wanted any more is gone: its cause is.
#[must_use]
pub fn merge(before: &[Condition], wanted: Vec<Condition>) -> Vec<Condition> {
    wanted
        .into_iter()
        .map(|mut new| {
            if let Some(old) = before
                .iter()
                .find(|old| old.type_ == new.type_ && old.status == new.status)
            {
                new.last_transition_time = old.last_transition_time.clone();
            }
            new
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use k8s_openapi::jiff::Timestamp;

    use super::*;

    fn at(second: i64) -> Time {
        Time(Timestamp::from_second(second).expect("in range"))
    }

    fn ready(status: ConditionStatus, reason: Reason, second: i64) -> Condition {
        condition(ConditionType::Ready, status, reason, "said", Some(1), at(second))
    }

    #[test]
    fn keeps_the_transition_time_while_the_status_stays() {
        let before = vec![ready(ConditionStatus::False, Reason::StoreFull, 10)];
        let same = merge(
            &before,
            vec![ready(ConditionStatus::False, Reason::TargetNotOwned, 20)],
        );
        assert_eq!(same[0].last_transition_time, at(10));
        assert_eq!(same[0].reason, "TargetNotOwned");
        let changed = merge(&before, vec![ready(ConditionStatus::True, Reason::Ready, 20)]);
        assert_eq!(changed[0].last_transition_time, at(20));
    }

    #[test]
    fn drops_what_is_not_wanted_any_more() {
        let stalled = condition(
            ConditionType::Stalled,
            ConditionStatus::True,
            Reason::StoreFull,
            "",
            None,
            at(1),
        );
        let after = merge(&[stalled], vec![ready(ConditionStatus::True, Reason::Ready, 2)]);
        assert_eq!(
            after.iter().map(|c| c.type_.as_str()).collect::<Vec<_>>(),
            ["Ready"]
        );
    }

    #[test]
    fn cuts_a_message_between_characters() {
        let long = "é".repeat(MESSAGE_BYTES);
        let cut = condition(
            ConditionType::Ready,
            ConditionStatus::False,
            Reason::Ready,
            long,
            None,
            at(0),
        );
        assert_eq!(cut.message.len(), MESSAGE_BYTES);
    }

    #[test]
    fn reasons_are_words_that_kubernetes_accepts() {
        for reason in Reason::ALL {
            let text = reason.as_str();
            assert!(
                text.chars().all(|c| c.is_ascii_alphanumeric())
                    && text.starts_with(|c: char| c.is_ascii_uppercase())
            );
        }
    }
}
