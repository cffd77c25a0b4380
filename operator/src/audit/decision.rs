//! Whether the caller of a record was allowed to do it. A record of the chain says whether the request was
//! carried out, and has a code if it was not. From that follows whether a denial or a failure ended it. A
//! pure function.

use strongroom_api::audit::Decision;
use strongroom_api::problem::Code;
use strongroom_store::audit::{Actor, AuditOutcome, Entry};

/// Codes of refusals that are no answer of the API: to nodes and their pods.
const DENIED: [&str; 4] = ["NotANode", "NotGranted", "OtherNode", "OtherPod"];
/// Codes of the store that are no answer of the API, and may come before anybody decided.
const UNDECIDED: [&str; 2] = ["NamespaceNotFound", "Several"];

/// What the record tells of the decision.
pub(super) fn decision(entry: &Entry) -> Decision {
    let AuditOutcome::Refused(code) = &entry.outcome else {
        return Decision::Allowed;
    };
    match by_code(code) {
        // No policy decides about what is our own.
        Decision::Undecided if !matches!(entry.actor, Actor::Principal(_)) => Decision::Allowed,
        // It failed after the statements had allowed it. Where there is no secret, they may have denied it.
        Decision::Undecided if names_statements(entry) && code != Code::SecretNotFound.as_str() => {
            Decision::Allowed
        }
        decision => decision,
    }
}

fn names_statements(entry: &Entry) -> bool {
    let about = entry.circumstances.as_ref();
    about.is_some_and(|about| !about.statements.is_empty())
}

fn by_code(code: &str) -> Decision {
    match Code::from_name(code) {
        Some(code) => by_problem(code),
        None if DENIED.contains(&code) => Decision::Denied,
        None if UNDECIDED.contains(&code) => Decision::Undecided,
        // The store's own, of what it was told to do.
        None => Decision::Allowed,
    }
}

const fn by_problem(code: Code) -> Decision {
    match code {
        Code::PolicyDenied
        | Code::Unauthenticated
        | Code::ServiceAccountRefused
        | Code::ProductManaged
        | Code::HostingRefused
        | Code::NamespaceNotSelected
        | Code::ProductUnknown
        | Code::ProductAbsent
        | Code::ProductChanged
        | Code::ProductSuspended => Decision::Denied,
        // These come before a decision as well as after it, or without one.
        Code::SecretNotFound
        | Code::NamespaceRecreated
        | Code::InvalidRequest
        | Code::NoSuchPath
        | Code::MethodNotAllowed
        | Code::TooLarge
        | Code::TooManyRequests
        | Code::Overloaded
        | Code::Timeout
        | Code::AuthenticationUnavailable
        | Code::PoliciesUnavailable
        | Code::ClusterUnavailable
        | Code::AuditUnavailable
        | Code::StoreUnavailable
        | Code::StoreDamaged => Decision::Undecided,
        Code::VersionNotFound
        | Code::StageNotFound
        | Code::DataKeyNotFound
        | Code::PolicyNotFound
        | Code::SecretExists
        | Code::ManagedElsewhere
        | Code::VersionConflict
        | Code::SourceNotExternal
        | Code::KeyNotFound
        | Code::KeyRequired
        | Code::NotRotatable
        | Code::StageReserved
        | Code::TooManyStages
        | Code::NamespaceFull
        | Code::SealingKeyNotFound
        | Code::StageMismatch
        | Code::InRecoveryWindow
        | Code::NotInRecoveryWindow
        | Code::KeyDisabled
        | Code::KeyPendingDeletion
        | Code::QuotaExceeded
        | Code::ProductNewer
        | Code::StoreFull => Decision::Allowed,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::audit::{Action, Circumstances};
    use strongroom_testing::store::NOW;

    use super::*;

    fn refused(actor: Actor, code: &str, statements: &[&str]) -> Entry {
        Entry {
            outcome: AuditOutcome::Refused(code.to_owned()),
            circumstances: Some(Box::new(Circumstances {
                statements: statements.iter().map(|&statement| statement.to_owned()).collect(),
                ..Circumstances::default()
            })),
            ..Entry::new(NOW, actor, Action::GetSecretValue)
        }
    }

    #[test]
    fn a_denied_read_and_a_failed_one_are_told_apart() {
        let person = || Actor::Principal("user jane".to_owned());
        let done = Entry::new(NOW, person(), Action::GetSecretValue);
        assert_eq!(decision(&done), Decision::Allowed);
        let cases: [(&str, &[&str], Decision); 15] = [
            ("PolicyDenied", &["a Deny"], Decision::Denied),
            ("PolicyDenied", &[], Decision::Denied),
            ("Unauthenticated", &[], Decision::Denied),
            ("NotGranted", &[], Decision::Denied),
            ("OtherPod", &[], Decision::Denied),
            ("ProductManaged", &[], Decision::Denied),
            ("ProductAbsent", &["an Allow"], Decision::Denied),
            ("QuotaExceeded", &[], Decision::Allowed),
            ("KeyDisabled", &["an Allow"], Decision::Allowed),
            // A sum of refusals has no statements.
            ("KeyDisabled", &[], Decision::Allowed),
            ("BaseMoved", &[], Decision::Allowed),
            ("StoreUnavailable", &["an Allow"], Decision::Allowed),
            ("StoreUnavailable", &[], Decision::Undecided),
            ("SecretNotFound", &["either"], Decision::Undecided),
            ("Several", &[], Decision::Undecided),
        ];
        for (code, statements, told) in cases {
            let entry = refused(person(), code, statements);
            assert_eq!(decision(&entry), told, "{code} {statements:?}");
        }
    }

    #[test]
    fn what_a_controller_does_is_nobodys_to_deny() {
        let controller = || Actor::Controller("ManagedSecret".to_owned());
        for code in [
            "SecretNotFound",
            "NamespaceRecreated",
            "KeyDisabled",
            "OutOfSpace",
        ] {
            assert_eq!(
                decision(&refused(controller(), code, &[])),
                Decision::Allowed,
                "{code}"
            );
        }
    }
}
