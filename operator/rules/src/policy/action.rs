//! What can be done, as policies name it.

use std::fmt;

macro_rules! actions {
    ($($(#[doc = $doc:literal])+ $name:ident = $text:literal,)+) => {
        /// One operation on a secret or one use of a key. The names are those of the operations.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Action {
            $($(#[doc = $doc])+ $name,)+
        }

        impl Action {
            /// Every action.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The name, as in `secrets:GetSecretValue`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)+
                }
            }
        }
    };
}

actions! {
    /// Make a secret.
    CreateSecret = "secrets:CreateSecret",
    /// See which secrets there are.
    ListSecrets = "secrets:ListSecrets",
    /// See everything of a secret but its value.
    DescribeSecret = "secrets:DescribeSecret",
    /// Change what is known about a secret.
    UpdateSecret = "secrets:UpdateSecret",
    /// Write a version.
    PutSecretValue = "secrets:PutSecretValue",
    /// Add, move or remove a stage.
    UpdateSecretVersionStage = "secrets:UpdateSecretVersionStage",
    /// Open the recovery window.
    DeleteSecret = "secrets:DeleteSecret",
    /// Destroy a secret without a recovery window.
    PurgeSecret = "secrets:PurgeSecret",
    /// Take a secret out of its recovery window.
    RestoreSecret = "secrets:RestoreSecret",
    /// See the versions of a secret.
    ListSecretVersionIds = "secrets:ListSecretVersionIds",
    /// Rotate a secret now.
    RotateSecret = "secrets:RotateSecret",
    /// Change when a secret rotates.
    UpdateSecretRotationPolicy = "secrets:UpdateSecretRotationPolicy",
    /// Change who may do what with a secret.
    SetSecretPolicy = "secrets:SetSecretPolicy",
    /// See who may do what with a secret.
    GetSecretPolicy = "secrets:GetSecretPolicy",
    /// Read a value.
    GetSecretValue = "secrets:GetSecretValue",
    /// Use a key to read what lies under it.
    Decrypt = "keys:Decrypt",
    /// Use a key to write something under it.
    GenerateDataKey = "keys:GenerateDataKey",
}

impl Action {
    /// The action of this name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|action| action.as_str() == name)
    }

    /// Whether it destroys what nobody can bring back: then an Allow has to name it in full, and no pattern
    /// allows it.
    #[must_use]
    pub const fn destroys(self) -> bool {
        match self {
            Self::PurgeSecret => true,
            Self::CreateSecret
            | Self::ListSecrets
            | Self::DescribeSecret
            | Self::UpdateSecret
            | Self::PutSecretValue
            | Self::UpdateSecretVersionStage
            | Self::DeleteSecret
            | Self::RestoreSecret
            | Self::ListSecretVersionIds
            | Self::RotateSecret
            | Self::UpdateSecretRotationPolicy
            | Self::SetSecretPolicy
            | Self::GetSecretPolicy
            | Self::GetSecretValue
            | Self::Decrypt
            | Self::GenerateDataKey => false,
        }
    }

    /// Whether the managers of a product may do it with the product's own secrets, without any policy. Of a
    /// key it is half: the other half is the tenant's to give.
    #[must_use]
    pub const fn is_products(self) -> bool {
        match self {
            Self::CreateSecret
            | Self::ListSecrets
            | Self::DescribeSecret
            | Self::UpdateSecret
            | Self::PutSecretValue
            | Self::UpdateSecretVersionStage
            | Self::DeleteSecret
            | Self::RestoreSecret
            | Self::ListSecretVersionIds
            | Self::GetSecretValue
            | Self::Decrypt
            | Self::GenerateDataKey => true,
            Self::PurgeSecret
            | Self::RotateSecret
            | Self::UpdateSecretRotationPolicy
            | Self::SetSecretPolicy
            | Self::GetSecretPolicy => false,
        }
    }

    /// Whether it is the use of a key.
    #[must_use]
    pub const fn uses_key(self) -> bool {
        matches!(self, Self::Decrypt | Self::GenerateDataKey)
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_action_has_a_name_of_its_own_and_those_of_keys_use_one() {
        for action in Action::ALL {
            assert_eq!(Action::named(action.as_str()), Some(*action));
            assert_eq!(
                action.uses_key(),
                action.as_str().starts_with("keys:"),
                "{action}"
            );
        }
        for unknown in ["", "GetSecretValue", "secrets:getSecretValue", "secrets:*"] {
            assert_eq!(Action::named(unknown), None, "{unknown}");
        }
    }
}
