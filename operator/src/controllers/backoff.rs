//! From an error to its class, and from class and number of attempts to the next one. What each class means
//! is decided in `strongroom_rules::retry`; this file only counts.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::time::Duration;

use jiff::SignedDuration;
use kube::core::Status;
use parking_lot::Mutex;
use strongroom_crds::condition::Reason;
use strongroom_rules::retry::ErrorClass;

/// The class of an error of the API server or of the way to it.
pub(crate) fn class_of(error: &kube::Error) -> ErrorClass {
    match error {
        kube::Error::Api(status) => class_of_status(status),
        kube::Error::BuildRequest(_) | kube::Error::SerdeError(_) => ErrorClass::Rejected,
        _ => ErrorClass::ApiUnavailable,
    }
}

/// Codes as in <https://kubernetes.io/docs/reference/using-api/api-concepts/>; what is not known counts as a
/// fault that passes.
fn class_of_status(status: &Status) -> ErrorClass {
    match status.code {
        401 | 403 => ErrorClass::Forbidden,
        404 | 410 => ErrorClass::Gone,
        409 => ErrorClass::Conflict,
        400 | 405 | 413 | 415 | 422 => ErrorClass::Rejected,
        429 => ErrorClass::Throttled,
        _ => ErrorClass::ApiUnavailable,
    }
}

/// The reason that an error of the API server gives in a condition.
pub(crate) fn reason_of(error: &kube::Error) -> Reason {
    match class_of(error) {
        ErrorClass::Forbidden if lacks_right(error) => Reason::ApiForbidden,
        ErrorClass::Forbidden | ErrorClass::Rejected => Reason::TargetRefused,
        ErrorClass::Conflict | ErrorClass::Gone => Reason::Progressing,
        ErrorClass::Throttled
        | ErrorClass::ApiUnavailable
        | ErrorClass::StoreRefused
        | ErrorClass::NamespaceFull
        | ErrorClass::StoreUnavailable
        | ErrorClass::StoreDamaged
        | ErrorClass::Generation
        | ErrorClass::NoEnd => Reason::ApiUnavailable,
    }
}

/// Whether a 403 speaks of our rights, and not of a quota, a policy or a webhook, which answer with the same
/// code. RBAC's sentence is the only difference: `User "…" cannot create resource "secrets" …`. A 401 is
/// always ours.
fn lacks_right(error: &kube::Error) -> bool {
    let kube::Error::Api(status) = error else {
        return false;
    };
    status.code == 401 || (status.message.contains(" cannot ") && status.message.contains(" resource "))
}

/// How long the API server asks to be left alone.
pub(crate) fn asked(error: &kube::Error) -> Option<SignedDuration> {
    let kube::Error::Api(status) = error else {
        return None;
    };
    let seconds = status.details.as_ref()?.retry_after_seconds;
    (seconds > 0).then(|| SignedDuration::from_secs(i64::from(seconds)))
}

/// Failed attempts in a row, by UID. An object that succeeds, or goes, is forgotten.
#[derive(Debug, Default)]
pub(crate) struct Backoff {
    attempts: Mutex<HashMap<String, u32>>,
}

impl Backoff {
    /// Counts a failure of the object and says how long to wait.
    pub(crate) fn failed(&self, uid: &str, class: ErrorClass, asked: Option<SignedDuration>) -> Duration {
        let attempts = {
            let mut map = self.attempts.lock();
            let attempts = map.entry(uid.to_owned()).or_insert(0);
            *attempts = attempts.saturating_add(1);
            *attempts
        };
        let mut hasher = DefaultHasher::new();
        uid.hash(&mut hasher);
        class.delay(attempts, hasher.finish(), asked).unsigned_abs()
    }

    /// Failures of the object in a row so far.
    pub(crate) fn attempts(&self, uid: &str) -> u32 {
        self.attempts.lock().get(uid).copied().unwrap_or(0)
    }

    /// Forgets the failures of the object.
    pub(crate) fn forget(&self, uid: &str) {
        self.attempts.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn api(code: u16) -> kube::Error {
        let mut status = Status::failure("said", "Reason");
        status.code = code;
        kube::Error::Api(Box::new(status))
    }

    #[test]
    fn each_code_has_its_class() {
        let table = [
            (400, ErrorClass::Rejected),
            (401, ErrorClass::Forbidden),
            (403, ErrorClass::Forbidden),
            (404, ErrorClass::Gone),
            (409, ErrorClass::Conflict),
            (422, ErrorClass::Rejected),
            (429, ErrorClass::Throttled),
            (500, ErrorClass::ApiUnavailable),
            (503, ErrorClass::ApiUnavailable),
            (504, ErrorClass::ApiUnavailable),
        ];
        for (code, class) in table {
            assert_eq!(class_of(&api(code)), class, "{code}");
        }
    }

    #[test]
    fn a_quota_is_not_a_missing_right() {
        let says = |code, message: &str| {
            let mut status = Status::failure(message, "Forbidden");
            status.code = code;
            reason_of(&kube::Error::Api(Box::new(status)))
        };
        let rbac = "secrets is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"secrets\" in API group \"\"";
        assert_eq!(says(403, rbac), Reason::ApiForbidden);
        assert_eq!(says(401, "Unauthorized"), Reason::ApiForbidden);
        assert_eq!(
            says(403, "secrets \"db\" is forbidden: exceeded quota: small"),
            Reason::TargetRefused
        );
        assert_eq!(says(422, "invalid"), Reason::TargetRefused);
    }

    #[test]
    fn waiting_grows_with_each_failure_and_starts_anew_after_a_success() {
        let backoff = Backoff::default();
        let first = backoff.failed("u", ErrorClass::ApiUnavailable, None);
        let second = backoff.failed("u", ErrorClass::ApiUnavailable, None);
        assert!(second > first, "{first:?} {second:?}");
        backoff.forget("u");
        assert_eq!(backoff.failed("u", ErrorClass::ApiUnavailable, None), first);
    }

    #[test]
    fn the_server_says_how_long() {
        let mut error = api(429);
        if let kube::Error::Api(status) = &mut error {
            status.details = serde_json::from_value(serde_json::json!({"retryAfterSeconds": 7})).unwrap();
        }
        assert_eq!(asked(&error), Some(SignedDuration::from_secs(7)));
        assert_eq!(asked(&api(429)), None);
    }
}
