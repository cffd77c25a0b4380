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
    let metrics = Metrics::default();
    let router = router(image(), metrics.clone());
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
            metrics.pods.get_or_create(&Outcome { outcome }).get(),
            1,
            "{outcome}"
        );
    }
}

#[tokio::test]
async fn what_is_no_question_is_refused() {
    let router = router(image(), Metrics::default());
    for body in [
        b"".to_vec(),
        b"{".to_vec(),
        b"{}".to_vec(),
        br#"{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"u","object":{}}}"#.to_vec(),
    ] {
        let (status, _) = ask(&router, body).await;
        assert_eq!(status, StatusCode::BAD_REQUEST);
    }
    let (status, _) = ask(&router, vec![b' '; BODY_BYTES + 1]).await;
    assert_eq!(status, StatusCode::PAYLOAD_TOO_LARGE);
}
