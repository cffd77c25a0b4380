//! What an entry is about. Must not be renumbered or renamed: both are part of the format.

use crate::codec::DecodeError;

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
    /// What is known of a product was changed.
    PutProduct = 48
    /// A person accepted other managers of a product.
    AdoptProduct = 49
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_round_trip() {
        for action in Action::ALL {
            assert_eq!(Action::from_code(action.code()), Ok(*action));
        }
        assert!(Action::from_code(0).is_err());
    }
}
