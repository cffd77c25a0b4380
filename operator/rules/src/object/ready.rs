//! What every kind says of an object as a whole.

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Reason, Retryability, condition};

/// What there is to say about the object as a whole.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReadySummary {
    /// The status of `Ready`.
    pub ready: ConditionStatus,
    /// `reason` of the condition: a word of the API, in CamelCase.
    pub reason: Reason,
    /// The cause in words, with what to do about it.
    pub message: String,
}

impl ReadySummary {
    /// An attempt ended with an error, whose cause is `reason`.
    pub fn failed(reason: Reason, message: String) -> Self {
        let ready = match reason.retryability() {
            Retryability::Fine => ConditionStatus::Unknown,
            Retryability::Retry | Retryability::Person => ConditionStatus::False,
        };
        Self {
            ready,
            reason,
            message,
        }
    }
}

/// `Ready`, and `Reconciling` or `Stalled` as kstatus defines them: the first while time alone may help, the
/// second while a person must act.
pub fn ready_conditions(standing: &ReadySummary, generation: Option<i64>, now: Timestamp) -> Vec<Condition> {
    let make = |type_, status| {
        condition(
            type_,
            status,
            standing.reason,
            standing.message.clone(),
            generation,
            Time(now),
        )
    };
    let mut conditions = vec![make(ConditionType::Ready, standing.ready)];
    match (standing.ready, standing.reason.retryability()) {
        (ConditionStatus::True, _) | (ConditionStatus::False, Retryability::Fine) => {}
        (ConditionStatus::Unknown, _) | (ConditionStatus::False, Retryability::Retry) => {
            conditions.push(make(ConditionType::Reconciling, ConditionStatus::True));
        }
        (ConditionStatus::False, Retryability::Person) => {
            conditions.push(make(ConditionType::Stalled, ConditionStatus::True));
        }
    }
    conditions
}
