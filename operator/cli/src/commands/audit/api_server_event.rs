//! One event of the API server's audit log (`audit.k8s.io/v1`) that is about native Secrets, as a line among
//! our records. The API server wrote it down and vouches for it; it is in no chain.
//!
//! <https://kubernetes.io/docs/reference/config-api/apiserver-audit.v1/>

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strongroom_api::audit::{AuditRow, Decision, Filter, Outcome};

/// What stands in the place of a chain.
const LOG: &str = "API server";
/// Verbs that answer with values.
const READING_VERBS: [&str; 3] = ["get", "list", "watch"];

/// What is read of an event.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct AuditEvent {
    kind: String,
    api_version: String,
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: String,
    verb: String,
    user: EventUser,
    #[serde(default)]
    impersonated_user: Option<EventUser>,
    #[serde(default, rename = "sourceIPs")]
    sources: Vec<String>,
    #[serde(default)]
    object_ref: Option<EventObject>,
    #[serde(default)]
    response_status: Option<EventStatus>,
    stage_timestamp: Timestamp,
    #[serde(default)]
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

/// The object of a request; no name: all of a namespace, no namespace either: all of the cluster.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct EventObject {
    #[serde(default)]
    resource: String,
    #[serde(default)]
    pub(super) namespace: String,
    #[serde(default)]
    pub(super) name: String,
    #[serde(default)]
    pub(super) uid: Option<String>,
    #[serde(default)]
    api_group: String,
}

#[derive(Debug, Deserialize)]
struct EventStatus {
    #[serde(default)]
    code: u16,
    #[serde(default)]
    reason: String,
}

/// A request to the API server that is about native Secrets. As JSON it has the names of our records' fields.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct ApiServerRecord {
    log: &'static str,
    time: Timestamp,
    principal: String,
    action: String,
    decision: Decision,
    outcome: Outcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    code: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    namespace: String,
    /// The secret that stood in it; none: the request was about all of the namespace or of the cluster.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    native_secret: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pod: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    node: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    source: Option<IpAddr>,
    /// `auditID` of the event.
    request: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    detail: String,
}

impl AuditEvent {
    /// An event of a line; none: it is no such line.
    pub(super) fn read(line: &[u8]) -> Option<Self> {
        let event: Self = serde_json::from_slice(line).ok()?;
        (event.kind == "Event" && event.api_version.starts_with("audit.k8s.io/")).then_some(event)
    }

    /// When it was written down.
    pub(super) const fn time(&self) -> Timestamp {
        self.stage_timestamp
    }

    /// What it is about, if that are native Secrets and the request was answered. A watch has two lines: its
    /// beginning and its end.
    pub(super) fn native_secret(&self) -> Option<&EventObject> {
        let was_answered = matches!(
            self.stage.as_str(),
            "ResponseStarted" | "ResponseComplete" | "Panic"
        );
        let object = self.object_ref.as_ref()?;
        (was_answered && object.resource == "secrets" && object.api_group.is_empty()).then_some(object)
    }

    /// The line of an event about native Secrets: the one in which this secret stood, or several.
    pub(super) fn into_record(self, secret: Option<String>) -> ApiServerRecord {
        let object = self.object_ref.unwrap_or_default();
        let status = self.response_status.as_ref();
        let code = status.map_or(0, |status| status.code);
        let failed = code >= 400 || self.stage == "Panic";
        let decision = match self
            .annotations
            .get("authorization.k8s.io/decision")
            .map(String::as_str)
        {
            Some("allow") => Decision::Allowed,
            Some("forbid") => Decision::Denied,
            _ if matches!(code, 401 | 403) => Decision::Denied,
            _ if failed => Decision::Undecided,
            _ => Decision::Allowed,
        };
        let reason = status
            .filter(|_| failed)
            .map(|status| match status.reason.as_str() {
                "" => status.code.to_string(),
                reason => reason.to_owned(),
            });
        let mut details = Vec::new();
        if self.stage != "ResponseComplete" {
            details.push(self.stage);
        }
        if !object.name.is_empty() {
            details.push(format!("native Secret `{}`", object.name));
        }
        let caller = match self.impersonated_user {
            Some(impersonated) => {
                details.push(format!("as whom {} came", principal(&self.user.username)));
                impersonated
            }
            None => self.user,
        };
        let extra = |key: &str| {
            let values = caller.extra.get(&format!("authentication.kubernetes.io/{key}"))?;
            values.first().cloned()
        };
        ApiServerRecord {
            log: LOG,
            time: self.stage_timestamp,
            principal: principal(&caller.username),
            action: self.verb,
            decision,
            outcome: if failed {
                Outcome::Failure
            } else {
                Outcome::Success
            },
            code: reason,
            namespace: object.namespace,
            secret,
            native_secret: object.name,
            pod: extra("pod-name"),
            node: extra("node-name"),
            // The last is the one that the API server saw itself; those before it were told.
            source: self.sources.last().and_then(|source| source.parse().ok()),
            request: self.audit_id,
            detail: details.join(", "),
        }
    }
}

impl ApiServerRecord {
    /// Whether it is wanted. A request about all of a namespace is about each of its secrets.
    pub(super) fn is_admitted_by(&self, filter: &Filter) -> bool {
        let reads = READING_VERBS.contains(&self.action.as_str());
        (filter.action.is_empty() || reads && filter.asks_for("GetSecretValue"))
            && (filter.secret.is_none() || self.secret.is_none() || filter.secret == self.secret)
            && filter
                .principal
                .as_ref()
                .is_none_or(|text| self.principal.contains(text))
            && filter.has_ended_so(self.decision, self.outcome)
            && filter.is_in_time(self.time)
    }

    /// The event as a row among the records, marked `API server`.
    pub(super) fn row(&self) -> AuditRow {
        let text = |text: &Option<String>| text.clone().unwrap_or_default();
        AuditRow {
            time: self.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
            decision: self.decision.as_str().to_owned(),
            outcome: self.outcome.as_str().to_owned(),
            code: text(&self.code),
            count: "1".to_owned(),
            action: self.action.clone(),
            namespace: self.namespace.clone(),
            secret: text(&self.secret),
            principal: self.principal.clone(),
            pod: text(&self.pod),
            node: text(&self.node),
            source: self.source.map(|source| source.to_string()).unwrap_or_default(),
            log: self.log.to_owned(),
            request: self.request.clone(),
            detail: self.detail.clone(),
            ..AuditRow::default()
        }
    }
}

/// A user as our records name it.
fn principal(username: &str) -> String {
    let account = username
        .strip_prefix("system:serviceaccount:")
        .and_then(|account| account.split_once(':'));
    match account {
        Some((namespace, name)) => format!("serviceaccount {namespace}/{name}"),
        None => format!("user {username}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn event() -> Value {
        json!({
            "kind": "Event", "apiVersion": "audit.k8s.io/v1", "level": "Metadata", "auditID": "a-1",
            "stage": "ResponseComplete", "requestURI": "/api/v1/namespaces/shop/secrets/db", "verb": "get",
            "user": {"username": "system:serviceaccount:shop:app", "uid": "u", "groups": ["system:authenticated"],
                "extra": {"authentication.kubernetes.io/pod-name": ["app-1"], "authentication.kubernetes.io/node-name": ["node-a"]}},
            "sourceIPs": ["6.6.6.6", "10.1.2.3"], "userAgent": "kubectl",
            "objectRef": {"resource": "secrets", "namespace": "shop", "name": "db", "apiVersion": "v1"},
            "responseStatus": {"metadata": {}, "code": 200},
            "requestReceivedTimestamp": "2026-11-23T20:22:00.100000Z", "stageTimestamp": "2026-11-23T20:22:00.123456Z",
            "annotations": {"authorization.k8s.io/decision": "allow", "authorization.k8s.io/reason": ""},
        })
    }

    fn record(event: &Value, secret: Option<&str>) -> ApiServerRecord {
        let event = AuditEvent::read(event.to_string().as_bytes()).unwrap();
        assert!(event.native_secret().is_some());
        event.into_record(secret.map(str::to_owned))
    }

    #[test]
    fn a_line_says_that_the_api_server_wrote_it() {
        let record = record(&event(), Some("store/db"));
        let narrow = record.row().narrow();
        for part in [
            "API server",
            "serviceaccount shop/app",
            "app-1",
            "node-a",
            "shop/store/db",
            "allowed",
            "success",
        ] {
            assert!(narrow.contains(part), "{part}: {narrow}");
        }
        let json = serde_json::to_value(&record).unwrap();
        assert_eq!(
            (
                &json["log"],
                &json["source"],
                &json["request"],
                &json["nativeSecret"]
            ),
            (
                &json!("API server"),
                &json!("10.1.2.3"),
                &json!("a-1"),
                &json!("db")
            )
        );
        assert_eq!(json.get("chain"), None);
    }

    #[test]
    fn a_denied_request_and_a_failed_one_are_told_apart() {
        for (code, annotation, decision, outcome) in [
            (403, Some("forbid"), Decision::Denied, Outcome::Failure),
            // By admission, after it was allowed.
            (403, Some("allow"), Decision::Allowed, Outcome::Failure),
            (401, None, Decision::Denied, Outcome::Failure),
            (404, Some("allow"), Decision::Allowed, Outcome::Failure),
            (500, None, Decision::Undecided, Outcome::Failure),
            (200, None, Decision::Allowed, Outcome::Success),
        ] {
            let mut event = event();
            event["responseStatus"]["code"] = json!(code);
            event["annotations"] = match annotation {
                Some(word) => json!({"authorization.k8s.io/decision": word}),
                None => json!({}),
            };
            let record = record(&event, None);
            assert_eq!(
                (record.decision, record.outcome),
                (decision, outcome),
                "{code} {annotation:?}"
            );
            assert_eq!(record.code.is_some(), code >= 400, "{code}");
        }
    }

    #[test]
    fn who_comes_as_somebody_else_is_that_one_and_told() {
        let mut event = event();
        event["impersonatedUser"] = json!({"username": "jane", "groups": []});
        let record = record(&event, None);
        assert_eq!((record.principal.as_str(), &record.pod), ("user jane", &None));
        assert!(
            record.detail.contains("as whom serviceaccount shop/app came"),
            "{}",
            record.detail
        );
    }

    #[test]
    fn filters_mean_the_same_as_with_our_records() {
        let named = record(&event(), Some("db"));
        let mut all = event();
        all["verb"] = json!("list");
        all["objectRef"] = json!({"resource": "secrets", "namespace": "shop"});
        let all = record(&all, None);
        let filter = |change: fn(&mut Filter)| {
            let mut filter = Filter::default();
            change(&mut filter);
            [named.is_admitted_by(&filter), all.is_admitted_by(&filter)]
        };
        assert_eq!(filter(|_| ()), [true, true]);
        assert_eq!(
            filter(|filter| filter.secret = Some("db".to_owned())),
            [true, true]
        );
        assert_eq!(
            filter(|filter| filter.secret = Some("other".to_owned())),
            [false, true]
        );
        assert_eq!(
            filter(|filter| filter.action = vec!["getsecretvalue".to_owned()]),
            [true, true]
        );
        assert_eq!(
            filter(|filter| filter.action = vec!["RotateSecret".to_owned()]),
            [false, false]
        );
        assert_eq!(
            filter(|filter| filter.principal = Some("shop/app".to_owned())),
            [true, true]
        );
        assert_eq!(
            filter(|filter| filter.decision = Some(Decision::Denied)),
            [false, false]
        );
        assert_eq!(
            filter(|filter| filter.since = "2026-11-23T20:22:01Z".parse().ok()),
            [false, false]
        );
    }

    #[test]
    fn other_lines_are_no_events_of_native_secrets() {
        for line in [
            "",
            "{",
            "[]",
            r#"{"kind":"Event","apiVersion":"v1"}"#,
            r#"{"kind":"Pod"}"#,
        ] {
            assert!(AuditEvent::read(line.as_bytes()).is_none(), "{line}");
        }
        let of = |change: fn(&mut Value)| {
            let mut event = event();
            change(&mut event);
            AuditEvent::read(event.to_string().as_bytes())
                .unwrap()
                .native_secret()
                .is_some()
        };
        assert!(of(|_| ()));
        assert!(of(|event| event["stage"] = json!("ResponseStarted")));
        assert!(!of(|event| event["stage"] = json!("RequestReceived")));
        assert!(!of(|event| event["objectRef"]["resource"] = json!("configmaps")));
        assert!(!of(
            |event| event["objectRef"]["apiGroup"] = json!("people.strongroom.dev")
        ));
        assert!(!of(|event| event["objectRef"] = json!(null)));
    }
}
