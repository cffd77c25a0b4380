//! What is in force instead of a policy that does not compile: everything that it is attached to is denied,
//! because the policy may contain a Deny.

use strongroom_crds::v1alpha1::{PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec};

/// The policy that denies everything that this one is attached to.
#[must_use]
pub fn deny_everything(spec: &SecretPolicySpec) -> SecretPolicySpec {
    let identities = spec.identities.is_some();
    let every = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
    let everybody = || {
        vec![
            PolicyPrincipal::ServiceAccount("*/*".to_owned()),
            PolicyPrincipal::User("*".to_owned()),
        ]
    };
    let statement = PolicyStatement {
        sid: Some("unknown until this policy compiles".to_owned()),
        effect: PolicyEffect::Deny,
        principals: (!identities).then(everybody),
        actions: every(&["*"]),
        resources: identities.then(|| every(&["*:secret/*", "*:key/*"])),
        conditions: None,
    };
    SecretPolicySpec {
        statements: vec![statement],
        ..spec.clone()
    }
}
