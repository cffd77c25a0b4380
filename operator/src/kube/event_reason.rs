//! Why an Event was written: all reasons, each with its type and its meaning. People filter by them, and
//! `docs/reference/events.md` is made of them.

use kube::runtime::events::EventType;

macro_rules! event_reasons {
    ($($(#[doc = $doc:literal])+ $name:ident: $event_type:ident, $object:literal;)+) => {
        /// Why an Event was written.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum EventReason {
            $($(#[doc = $doc])+ $name,)+
        }

        impl EventReason {
            #[cfg(test)]
            const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// As Events and metrics show it.
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Whether a person may have to look at it.
            pub(crate) const fn event_type(self) -> EventType {
                match self { $(Self::$name => EventType::$event_type,)+ }
            }

            /// The kind of the object that it is about.
            #[cfg(test)]
            const fn object(self) -> &'static str {
                match self { $(Self::$name => $object,)+ }
            }

            /// What happened, and what there is to do.
            #[cfg(test)]
            const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }
        }
    };
}

event_reasons! {
    // Changes in the store, told from the audit log.
    /// The secret and its first version are in the store.
    SecretCreated: Normal, "ManagedSecret";
    /// A version was written.
    VersionCreated: Normal, "ManagedSecret";
    /// A new version was made, because a rotation was due or requested.
    Rotated: Normal, "ManagedSecret";
    /// Description, labels or encryption key changed.
    SecretUpdated: Normal, "ManagedSecret";
    /// A stage was moved or removed.
    StageChanged: Normal, "ManagedSecret";
    /// The secret was deleted; until its recovery window ends, the annotation that the note shows restores
    /// it.
    RecoveryWindowOpened: Warning, "ManagedSecret";
    /// The secret came back out of its recovery window.
    Restored: Normal, "ManagedSecret";
    /// The secret was destroyed and cannot be restored.
    Purged: Warning, "ManagedSecret";
    /// Another object declares the secret now, or none does any more.
    Rebound: Normal, "ManagedSecret";
    /// The native Secret was written or adopted.
    NativeSecretWritten: Normal, "ManagedSecret";
    /// The native Secret was gone, or had to be made anew, and was written again.
    NativeSecretRepaired: Warning, "ManagedSecret";
    /// The native Secret is no longer written.
    NativeSecretReleased: Warning, "ManagedSecret";
    /// A namespace that was made again was accepted as the one before, with its secrets.
    NamespaceAccepted: Normal, "Namespace";
    /// The encryption key is in the store, and the object declares it.
    KeyDeclared: Normal, "EncryptionKey";
    /// The encryption key works again.
    KeyEnabled: Normal, "EncryptionKey";
    /// The encryption key is disabled: nothing under it can be read, written or rotated.
    KeyDisabled: Warning, "EncryptionKey";
    /// The encryption key refuses, and is destroyed at the time that the note says with all that is under it;
    /// apply it again to keep it.
    KeyDeletionScheduled: Warning, "EncryptionKey";
    /// The encryption key stays and works again.
    KeyDeletionCanceled: Normal, "EncryptionKey";
    /// The encryption key has a new version.
    KeyRotated: Normal, "EncryptionKey";
    /// The encryption key was destroyed; what was under it cannot be read any more.
    KeyDestroyed: Warning, "EncryptionKey";

    // What the controllers see and do.
    /// An annotation in which a tool had left a copy of the native Secret's content was removed; rotate the
    /// value if the copy was not meant.
    CopyRemoved: Normal, "ManagedSecret";
    /// Somebody changed the native Secret, and it was put back; the note says which fields and who.
    NativeSecretEdited: Warning, "ManagedSecret";
    /// Mutating admission of the cluster changes the native Secret as it is written; except it from that.
    NativeSecretMutated: Warning, "ManagedSecret";
    /// Another ManagedSecret asks for the native Secret of this one; choose another `spec.secret.name` in one
    /// of them.
    NativeSecretWanted: Warning, "ManagedSecret";
    /// A native Secret that is not wanted any more stays, because somebody else claims it; delete it yourself
    /// if nobody needs it.
    SecretClaimed: Normal, "Secret";
    /// The certificate was renewed.
    CertificateRenewed: Normal, "ManagedSecret";
    /// The certificate ends soon and was not renewed; condition CertificateCurrent says what to do.
    CertificateExpiring: Warning, "ManagedSecret";
    /// The certificate has ended; condition CertificateCurrent says what to do.
    CertificateExpired: Warning, "ManagedSecret";
    /// The certificate was signed by a key or an authority that is not the present one; condition
    /// CertificateCurrent says when it is reissued.
    AuthorityChanged: Warning, "ManagedSecret";
    /// The schedule's next rotation comes after the end of the certificate; shorten the schedule.
    ScheduleTooLong: Warning, "ManagedSecret";
    /// The text of `strongroom.dev/rotate-now` was used before, so nothing is rotated; use a new text.
    RotateNowRepeated: Warning, "RotationSchedule";
    /// ManagedSecrets were rotated by the schedule; the note names them.
    SecretsRotated: Normal, "RotationSchedule";
    /// A ManagedSecret cannot be rotated by the schedule; the note says why.
    RotationFailed: Warning, "RotationSchedule";
    /// A ManagedSecret should have been rotated by the schedule a while ago; its own conditions say why it
    /// was not.
    RotationOverdue: Warning, "RotationSchedule";
    /// The statements of this generation are in force.
    PolicyInForce: Normal, "SecretPolicy";
    /// The policy does not compile; the note says why, and what is in force instead: what was before, or a
    /// denial of all that it covers.
    PolicyInvalid: Warning, "SecretPolicy";
    /// With this policy, the namespace would have more statements in force than it may; the note says what is
    /// in force instead.
    PolicyTooLarge: Warning, "SecretPolicy";
    /// The product was deleted and is applied again with the same managers; its secrets go on.
    ProductReturned: Normal, "SecretProduct";
    /// The product has other managers than its secrets were made by, or a manager's namespace was made again;
    /// `kubectl strongroom product adopt` accepts them.
    ProductChanged: Warning, "SecretProduct";
    /// Somebody who may manage the product accepted its managers.
    ProductAdopted: Normal, "SecretProduct";
    /// Objects vanished at once, and nothing of theirs is deleted until somebody confirms it, as the note
    /// says; applying them again keeps it.
    DeletionsWaiting: Warning, "ConfigMap, or the first object that is gone";
    /// A ConfigMap of somebody else has a name that Strongroom uses, and is left unchanged; give it another
    /// name.
    NotOurs: Warning, "ConfigMap";

    // What node plugins say of pods.
    /// The pod was notified that its volume changed.
    ReloadNotified: Normal, "Pod";
    /// The pod could not be notified that its volume changed; its files are up to date.
    ReloadNotificationFailed: Warning, "Pod";
}

impl EventReason {
    /// The type as the API has it.
    pub(crate) const fn event_type_name(self) -> &'static str {
        match self.event_type() {
            EventType::Normal => "Normal",
            EventType::Warning => "Warning",
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_testing::assert_generated;

    use super::*;

    #[test]
    fn the_reference_lists_every_reason() {
        let mut rows: Vec<String> = EventReason::ALL
            .iter()
            .map(|reason| {
                format!(
                    "| `{}` | {} | {} | {} |\n",
                    reason.as_str(),
                    reason.event_type_name(),
                    reason.object(),
                    reason.meaning().trim().trim_end_matches('.')
                )
            })
            .collect();
        rows.sort();
        let page = format!(
            "# Events\n\n\
             Made of `operator/src/kube/event_reason.rs`. Reporting controller is `strongroom`; \
             `kubectl get events --field-selector reason=REASON` finds them.\n\n\
             | reason | type | on | meaning |\n|---|---|---|---|\n{}",
            rows.concat()
        );
        assert_generated("docs/reference/events.md", &page);
    }
}
