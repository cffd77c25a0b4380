use axum::body::Body;
use http_body_util::BodyExt as _;
use serde_json::{Value, json};
use tower::ServiceExt as _;

use super::*;

fn image() -> Image {
    Image {
        name: "strongroom.dev/strongroom-exec:1".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        resources: Image::default_resources(),
    }
}

fn router_with(metrics: WebhookMetrics) -> Router {
    let nowhere = Authority::from_static("127.0.0.1:1");
    let certificate = WebhookCertificate::with_expiration(Gauge::default());
    router(image(), metrics, certificate, nowhere)
}

async fn ask(router: &Router, body: Vec<u8>) -> (StatusCode, Vec<u8>) {
    let request = Request::post("/env").body(Body::from(body)).unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    let status = response.status();
    (
        status,
        response.into_body().collect().await.unwrap().to_bytes().to_vec(),
    )
}

/// Asks about a pod; the response.
async fn about(router: &Router, pod: &Value) -> Value {
    let question = json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
        "request": {"uid": "u-1", "namespace": "shop", "operation": "CREATE", "object": pod}});
    let (status, body) = ask(router, question.to_string().into_bytes()).await;
    assert_eq!(status, StatusCode::OK);
    let answer: Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(
        (&answer["apiVersion"], &answer["kind"], &answer["response"]["uid"]),
        (
            &json!("admission.k8s.io/v1"),
            &json!("AdmissionReview"),
            &json!("u-1")
        )
    );
    answer["response"].clone()
}

#[tokio::test]
async fn a_pod_is_changed_let_alone_or_refused_and_counted() {
    let metrics = WebhookMetrics::default();
    let router = router_with(metrics.clone());
    let pod = |annotations: Value, command: Value| {
        json!({"metadata": {"generateName": "app-", "annotations": annotations},
            "spec": {"futureField": 1, "containers": [{"name": "app", "command": command}]}})
    };
    let wish = json!({"strongroom.dev/env": "exec", "strongroom.dev/env-vars": "A: s/k"});

    let plain = pod(json!({"other": "x"}), json!(["serve"]));
    assert_eq!(
        about(&router, &plain).await,
        json!({"uid": "u-1", "allowed": true})
    );

    let mut asks = pod(wish.clone(), json!(["serve"]));
    let response = about(&router, &asks).await;
    assert_eq!(
        (&response["allowed"], &response["patchType"]),
        (&json!(true), &json!("JSONPatch"))
    );
    let patch = data_encoding::BASE64
        .decode(response["patch"].as_str().unwrap().as_bytes())
        .unwrap();
    let patch: json_patch::Patch = serde_json::from_slice(&patch).unwrap();
    let expected = strongroom_rules::environment::with_variables(&asks, &image()).unwrap();
    json_patch::patch(&mut asks, &patch).unwrap();
    assert_eq!(Some(&asks), expected.as_ref());
    assert_eq!(asks["spec"]["futureField"], json!(1));

    let response = about(&router, &pod(wish, json!([]))).await;
    assert_eq!(
        (&response["allowed"], &response["status"]["code"]),
        (&json!(false), &json!(403))
    );
    assert!(
        response["status"]["message"]
            .as_str()
            .unwrap()
            .contains("container `app` has no `command`")
    );
    for outcome in ["unchanged", "changed", "refused"] {
        assert_eq!(
            metrics.pods.get_or_create(&OutcomeLabel { outcome }).get(),
            1,
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let router = router_with(WebhookMetrics::default());
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u","object":{}}}"#.to_vec(),
    ] {
        let (status, _) = ask(&router, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let (status, _) = ask(&router, vec![b' '; MAX_POD_BODY_BYTES + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}

/// Asks about a change; whether it is allowed, and what came of it besides.
async fn about_change(router: &Router, request: Value) -> Value {
    let question =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    let request = Request::post("/attest")
        .body(Body::from(question.to_string()))
        .unwrap();
    let response = router.clone().oneshot(request).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    let body = response.into_body().collect().await.unwrap().to_bytes();
    serde_json::from_slice::<Value>(&body).unwrap()["response"].clone()
}

fn change(operation: &str) -> Value {
    let object = json!({"metadata": {"name": "db", "uid": "o-1"}, "spec": {"a": 1}});
    json!({"uid": "u-1", "operation": operation, "namespace": "shop", "name": "db",
        "kind": {"group": "strongroom.dev", "version": "v1alpha1", "kind": "ManagedSecret"},
        "userInfo": {"username": "jane", "uid": "7", "groups": ["ops"]},
        "object": if operation == "DELETE" { Value::Null } else { object.clone() },
        "oldObject": if operation == "CREATE" { Value::Null } else { object }})
}

/// What there is to hand over of a change.
fn attestation(request: &Value) -> Option<crate::attestation::AttestationMessage> {
    let question =
        json!({"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request});
    review::read::<ObjectRequest>(question.to_string().as_bytes())
        .unwrap()
        .attestation()
}

#[test]
fn what_is_handed_over_is_who_does_what_to_which_object() {
    use strongroom_rules::declaration::{DeclarationScope, Digest};

    for operation in ["CREATE", "UPDATE", "DELETE"] {
        let handed = attestation(&change(operation)).unwrap();
        assert_eq!(
            (
                handed.uid.as_str(),
                handed.namespace.as_str(),
                handed.user.as_str()
            ),
            ("o-1", "shop", "jane")
        );
        let attest = handed.attest(Vec::new()).unwrap();
        assert_eq!(attest.author.groups, ["ops"]);
        let digest = Digest::from_object(DeclarationScope::All, &json!({"spec": {"a": 1}}));
        assert_eq!(attest.digest.0, *digest.bytes());
        let is_deletion = attest.change == strongroom_store::vault::ObjectChange::Deleted;
        assert_eq!(is_deletion, operation == "DELETE");
    }
    // Of a Namespace only what it carries of ours counts.
    let mut namespace = change("UPDATE");
    namespace["kind"] = json!({"group": "", "version": "v1", "kind": "Namespace"});
    namespace["name"] = json!("pay");
    namespace["object"]["metadata"]["labels"] = json!({"strongroom.dev/recovery": "none", "team": "a"});
    let handed_over = attestation(&namespace).unwrap();
    assert_eq!(handed_over.namespace, "pay");
    let digest = Digest::from_object(
        DeclarationScope::Marks,
        &json!({"metadata": {"labels": {"strongroom.dev/recovery": "none"}}}),
    );
    assert_eq!(handed_over.attest(Vec::new()).unwrap().digest.0, *digest.bytes());
    // What is only tried, what has no identity, and what is none of ours.
    let mut tried = change("UPDATE");
    tried["dryRun"] = json!(true);
    let mut nameless = change("CREATE");
    nameless["object"]["metadata"] = json!({});
    let mut foreign = change("CREATE");
    foreign["kind"] = json!({"group": "apps", "version": "v1", "kind": "Deployment"});
    for nothing in [tried, nameless, foreign, change("CONNECT")] {
        assert!(attestation(&nothing).is_none(), "{nothing}");
    }
}

#[tokio::test]
async fn nobody_is_held_up_whatever_becomes_of_a_hand_over() {
    let metrics = WebhookMetrics::default();
    let router = router_with(metrics.clone());
    let allowed = json!({"uid": "u-1", "allowed": true});
    assert_eq!(about_change(&router, change("UPDATE")).await, allowed);
    let mut tried = change("UPDATE");
    tried["dryRun"] = json!(true);
    assert_eq!(about_change(&router, tried).await, allowed);
    for outcome in ["unreachable", "nothing"] {
        let counted = metrics
            .attestations
            .get_or_create(&OutcomeLabel { outcome })
            .get();
        assert_eq!(counted, 1, "{outcome}");
    }
    let large = Request::post("/attest")
        .body(Body::from(vec![b' '; MAX_OBJECT_BODY_BYTES + 1]))
        .unwrap();
    let refused = router.oneshot(large).await.unwrap();
    assert_eq!(refused.status(), StatusCode::PAYLOAD_TOO_LARGE);
}
