//! Whether the principals of RAM of a policy stand for somebody, as its status says.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Reason, condition};

use crate::policies::PrincipalResolution;

/// The condition `PrincipalsResolved`.
pub(super) fn principals_condition(
    resolution: &PrincipalResolution,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let (status, reason, message) = match resolution {
        PrincipalResolution::Pending => (
            ConditionStatus::Unknown,
            Reason::Progressing,
            "the Namespaces and ServiceAccounts are not listed yet; until then nothing is decided in this namespace"
                .to_owned(),
        ),
        PrincipalResolution::Complete(unresolved) if unresolved.count == 0 => (
            ConditionStatus::True,
            Reason::PrincipalsResolved,
            "each principal of RAM stands for somebody".to_owned(),
        ),
        PrincipalResolution::Complete(unresolved) => {
            let reason = if unresolved.is_ambiguous {
                Reason::PrincipalAmbiguous
            } else {
                Reason::PrincipalUnknown
            };
            let first = unresolved.first.iter().map(ToString::to_string);
            let mut message = first.collect::<Vec<_>>().join("; ");
            let others = unresolved.count - unresolved.first.len();
            if others > 0 {
                message.push_str(&format!("; and {others} others"));
            }
            (ConditionStatus::False, reason, message)
        }
    };
    condition(
        ConditionType::PrincipalsResolved,
        status,
        reason,
        message,
        generation,
        Time(now),
    )
}
