//! `spec.readers` of a ManagedSecret: the short form of a secret policy.

use strongroom_crds::v1alpha1::{PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec};

use super::Action;

/// What a reader may do.
const READER_ACTIONS: [Action; 4] = [
    Action::GetSecretValue,
    Action::DescribeSecret,
    Action::ListSecretVersionIds,
    Action::Decrypt,
];

/// The secret policy that `readers`, names of ServiceAccounts of the same namespace, stand for.
#[must_use]
pub fn readers_policy(store_name: &str, readers: &[String]) -> SecretPolicySpec {
    SecretPolicySpec {
        identities: None,
        secrets: Some(vec![store_name.to_owned()]),
        statements: vec![PolicyStatement {
            sid: None,
            effect: PolicyEffect::Allow,
            principals: Some(
                readers
                    .iter()
                    .map(|name| PolicyPrincipal::ServiceAccount(name.clone()))
                    .collect(),
            ),
            actions: READER_ACTIONS
                .iter()
                .map(|action| action.as_str().to_owned())
                .collect(),
            resources: None,
            conditions: None,
        }],
    }
}
