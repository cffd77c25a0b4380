//! Errors of the API server, or of the connection to it, in our words.
//!
//! INVARIANT: the message of a Status is never passed on: it may quote what stands in the object, and that
//! may be a value. What comes of it are names and fields, and of those only what has the form of a name.

use std::fmt;

use kube::core::Status;
use kube::core::response::{StatusCause, StatusDetails};
use kube::runtime::watcher;
use strongroom_api::{transport_error_cause, visible};

/// Fields that are named.
const MAX_FIELDS: usize = 4;
/// Longest name or field, in characters.
const MAX_NAME_CHARS: usize = 160;

/// The error as it may be shown to anybody.
pub(crate) fn in_words(error: &kube::Error) -> KubeErrorDisplay<'_> {
    KubeErrorDisplay(error)
}

/// The same for a watch that broke off.
pub(crate) fn watch_in_words(error: &watcher::Error) -> String {
    match error {
        watcher::Error::InitialListFailed(error)
        | watcher::Error::WatchStartFailed(error)
        | watcher::Error::WatchFailed(error) => in_words(error).to_string(),
        watcher::Error::WatchError(status) => StatusDisplay(status).to_string(),
        watcher::Error::NoResourceVersion => "the API server's answer has no resourceVersion".to_owned(),
    }
}

/// A Status in our words.
struct StatusDisplay<'a>(&'a Status);

impl fmt::Display for StatusDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        of_status(self.0, f)
    }
}

/// An error of the API server in our words; its `Display` is a sentence.
#[derive(Debug)]
pub(crate) struct KubeErrorDisplay<'a>(&'a kube::Error);

impl fmt::Display for KubeErrorDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            kube::Error::Api(status) => of_status(status, f),
            kube::Error::SerdeError(_) | kube::Error::FromUtf8(_) => {
                f.write_str("the API server's answer cannot be read")
            }
            kube::Error::BuildRequest(_) | kube::Error::HttpError(_) => {
                f.write_str("the request to the API server cannot be made")
            }
            kube::Error::Auth(_) => f.write_str("the credentials for the API server cannot be used"),
            kube::Error::InferConfig(_) | kube::Error::InferKubeconfig(_) => {
                f.write_str("there is no configuration that leads to an API server")
            }
            kube::Error::RustlsTls(_) | kube::Error::TlsRequired => {
                f.write_str("the certificates for the API server cannot be used")
            }
            _ => write!(
                f,
                "the API server cannot be reached: {}",
                transport_error_cause(self.0)
            ),
        }
    }
}

/// What comes first in words that say who refuses.
struct ObjectDisplay<'a>(Option<&'a StatusDetails>);

impl fmt::Display for ObjectDisplay<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let of = |part: fn(&StatusDetails) -> &str| self.0.map_or("", part);
        match (of(|details| &details.kind), of(|details| &details.name)) {
            ("", _) => f.write_str("the request"),
            (kind, "") => write!(f, "{}", shortened(kind)),
            (kind, name) => write!(f, "{} `{}`", shortened(kind), shortened(name)),
        }
    }
}

fn of_status(status: &Status, f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let object = ObjectDisplay(status.details.as_ref());
    let causes = status
        .details
        .as_ref()
        .map_or(&[][..], |details| details.causes.as_slice());
    if let Some(name) = quoted_after(&status.message, "failed calling webhook \"", '"') {
        return write!(
            f,
            "the API server cannot ask the admission webhook `{name}`; ask whoever runs that webhook"
        );
    }
    if let Some(name) = quoted_after(&status.message, "admission webhook \"", '"') {
        return write!(
            f,
            "the admission webhook `{name}` refuses it; ask whoever runs that webhook"
        );
    }
    if let Some(name) = quoted_after(&status.message, "ValidatingAdmissionPolicy '", '\'') {
        return write!(f, "the ValidatingAdmissionPolicy `{name}` refuses it");
    }
    match status.code {
        401 => f.write_str("the API server does not accept our ServiceAccount token (401)"),
        403 => forbidden(status, causes, &object, f),
        404 => write!(f, "the API server does not find {object}"),
        409 if status.is_already_exists() => write!(f, "{object} exists already"),
        409 => write!(f, "{object} was changed by somebody else at the same time"),
        410 => f.write_str("the API server does not know that resourceVersion any more"),
        413 => write!(f, "{object} is too large for the API server"),
        429 => f.write_str("the API server wants fewer requests (429)"),
        code if status.is_invalid() || code == 400 => {
            write!(f, "the API server does not accept {object}")?;
            fields(causes, f)
        }
        code => write!(f, "the API server does not answer as it should ({code})"),
    }
}

fn forbidden(
    status: &Status,
    causes: &[StatusCause],
    object: &ObjectDisplay<'_>,
    f: &mut fmt::Formatter<'_>,
) -> fmt::Result {
    let because = |reason: &str| causes.iter().any(|cause| cause.reason == reason);
    if because("NamespaceTerminating") {
        return write!(f, "{object} cannot be made: its namespace is being deleted");
    }
    if let Some(name) = quoted_after(&status.message, "exceeded quota: ", ',') {
        return write!(
            f,
            "ResourceQuota `{name}` does not let {object} be made; raise it, or delete what is not needed"
        );
    }
    let verb = quoted_after(&status.message, " cannot ", ' ');
    let resource = quoted_after(&status.message, " resource \"", '"');
    if let (Some(verb), Some(resource)) = (verb, resource) {
        return write!(
            f,
            "RBAC does not let our ServiceAccount {verb} {resource}; see the ClusterRoles and RoleBindings of the chart"
        );
    }
    write!(f, "an admission plugin of the API server refuses {object} (403)")
}

fn fields(causes: &[StatusCause], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    let mut named: Vec<(&str, &str)> = causes
        .iter()
        .filter(|cause| !cause.field.is_empty())
        .map(|cause| (cause.field.as_str(), wrong_with_it(&cause.reason)))
        .collect();
    named.dedup();
    for (index, (field, wrong)) in named.iter().take(MAX_FIELDS).enumerate() {
        let before = if index == 0 { ":" } else { "," };
        write!(f, "{before} `{}` {wrong}", shortened(field))?;
    }
    if named.len() > MAX_FIELDS {
        write!(f, ", and {} more fields", named.len() - MAX_FIELDS)?;
    }
    Ok(())
}

/// The reasons of <https://pkg.go.dev/k8s.io/apimachinery/pkg/util/validation/field#ErrorType>.
fn wrong_with_it(reason: &str) -> &'static str {
    match reason {
        "FieldValueRequired" => "is missing",
        "FieldValueForbidden" => "may not be set or changed like this",
        "FieldValueTooLong" => "is too long",
        "FieldValueTooMany" => "has too many items",
        "FieldValueDuplicate" => "is there twice",
        "FieldValueNotSupported" => "is not one of the values that it may have",
        "FieldValueNotFound" => "names what does not exist",
        "FieldValueTypeInvalid" => "has another type",
        _ => "is not valid",
    }
}

/// The name between `before` and `end`, where it has the form of one.
fn quoted_after<'a>(message: &'a str, before: &str, end: char) -> Option<&'a str> {
    let (_, rest) = message.split_once(before)?;
    let (name, _) = rest.split_once(end)?;
    let fits = |c: char| c.is_ascii_alphanumeric() || "-._:/".contains(c);
    (!name.is_empty() && name.len() <= MAX_NAME_CHARS && name.chars().all(fits)).then_some(name)
}

fn shortened(text: &str) -> String {
    visible(text).chars().take(MAX_NAME_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn said(status: serde_json::Value) -> String {
        let status: Status = serde_json::from_value(status).unwrap();
        in_words(&kube::Error::Api(Box::new(status))).to_string()
    }

    #[test]
    fn an_answer_of_the_api_server_is_told_in_our_words_with_the_field() {
        let table = [
            (
                json!({"code": 422, "reason": "Invalid", "message": "Secret \"db\" is invalid: data[.dockerconfigjson]: Invalid value: \"<secret contents redacted>\": invalid character 'Z' after object key:value pair",
                    "details": {"kind": "Secret", "name": "db", "causes": [{"reason": "FieldValueInvalid", "field": "data[.dockerconfigjson]", "message": "invalid character 'Z'"}]}}),
                "the API server does not accept Secret `db`: `data[.dockerconfigjson]` is not valid",
            ),
            (
                json!({"code": 403, "reason": "Forbidden", "message": "secrets \"db\" is forbidden: exceeded quota: small, requested: secrets=1, used: secrets=5, limited: secrets=5",
                    "details": {"kind": "secrets", "name": "db"}}),
                "ResourceQuota `small` does not let secrets `db` be made; raise it, or delete what is not needed",
            ),
            (
                json!({"code": 403, "reason": "Forbidden", "message": "secrets is forbidden: User \"system:serviceaccount:a:b\" cannot create resource \"secrets\" in API group \"\"",
                    "details": {"kind": "secrets"}}),
                "RBAC does not let our ServiceAccount create secrets; see the ClusterRoles and RoleBindings of the chart",
            ),
            (
                json!({"code": 400, "reason": "BadRequest", "message": "admission webhook \"guard.example.com\" denied the request: the password hunter2 is weak",
                    "details": {"kind": "Secret", "name": "db"}}),
                "the admission webhook `guard.example.com` refuses it; ask whoever runs that webhook",
            ),
            (
                json!({"code": 500, "reason": "InternalError", "message": "Internal error occurred: failed calling webhook \"guard.example.com\": hunter2"}),
                "the API server cannot ask the admission webhook `guard.example.com`; ask whoever runs that webhook",
            ),
            (
                json!({"code": 403, "reason": "Forbidden", "message": "hunter2"}),
                "an admission plugin of the API server refuses the request (403)",
            ),
            (
                json!({"code": 503, "reason": "ServiceUnavailable", "message": "hunter2"}),
                "the API server does not answer as it should (503)",
            ),
            (
                json!({"code": 422, "reason": "Invalid", "message": "hunter2", "details": {"kind": "Secret", "name": "a\u{1b}[31m"}}),
                "the API server does not accept Secret `a\\u{1b}[31m`",
            ),
        ];
        for (status, expected) in table {
            assert_eq!(said(status), expected);
        }
    }

    /// Whatever the API server says in its message, none of it comes through but names.
    #[test]
    fn no_message_is_passed_on() {
        for code in [400, 401, 403, 404, 409, 410, 413, 422, 429, 500, 503, 504] {
            for message in [
                "hunter2",
                "admission webhook \"hunter2 is weak\" denied",
                "exceeded quota: hunter 2,",
                "x cannot hunter2! resource \"y z\"",
            ] {
                let text = said(json!({"code": code, "reason": "R", "message": message,
                    "details": {"causes": [{"reason": "r", "field": "data[a]", "message": "hunter2"}]}}));
                assert!(!text.contains("hunter"), "{code} {message}: {text}");
                assert!(!text.contains("Status {"), "{text}");
            }
        }
    }
}
