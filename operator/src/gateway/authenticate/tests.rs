//! Tokens: who is a caller, for how long an answer counts, and who asks the API server how often.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::json;
use strongroom_testing::api_server::ApiServer;

use super::*;
use crate::gateway::request::RefusalMetrics;
use crate::gateway::request::token::{made_for, made_with};

/// Reviews by an API server that counts them, accepts while `accepts` holds, and answers only as often as
/// there is room in `answers`.
#[derive(Clone)]
struct Reviews {
    asked: Arc<AtomicUsize>,
    accepts: Arc<std::sync::atomic::AtomicBool>,
    answers: Arc<Semaphore>,
}

impl Reviews {
    fn new() -> Self {
        Self {
            asked: Arc::default(),
            accepts: Arc::new(true.into()),
            answers: Arc::new(Semaphore::new(0)),
        }
    }

    fn authenticator(&self) -> Arc<Authenticator> {
        let reviews = self.clone();
        let api = ApiServer::default();
        api.script("/tokenreviews", move |_| {
            let reviews = reviews.clone();
            async move {
                reviews.asked.fetch_add(1, Ordering::SeqCst);
                reviews.answers.acquire().await.unwrap().forget();
                let accepts = reviews.accepts.load(Ordering::SeqCst);
                let review = json!({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "metadata": {}, "spec": {},
                    "status": {"authenticated": accepts, "audiences": ["strongroom.dev"], "user": {"username": "jane"}}});
                Ok((201, review))
            }
        });
        Arc::new(Authenticator::new(
            api.client(),
            "strongroom.dev".to_owned(),
            Arc::new(ReviewCapacity::new(64, Arc::default(), RefusalMetrics::default())),
        ))
    }

    /// Waits until so many reviews were asked for in all.
    async fn until_asked(&self, count: usize) {
        while self.asked.load(Ordering::SeqCst) < count {
            tokio::task::yield_now().await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn a_token_in_use_is_reviewed_before_its_ten_seconds_are_over_and_nobody_waits() {
    let reviews = Reviews::new();
    let authenticator = reviews.authenticator();
    let t = made_for("t");
    reviews.answers.add_permits(1);
    authenticator.authenticate(&t, ReviewBudget::Node).await.unwrap();
    tokio::time::advance(REFRESH_AFTER - Duration::from_millis(1)).await;
    authenticator.authenticate(&t, ReviewBudget::Node).await.unwrap();
    assert_eq!(reviews.asked.load(Ordering::SeqCst), 1);

    tokio::time::advance(REFRESH_SPREAD).await;
    // The API server does not answer: these are answered by what is known, and one review is asked for by
    // all of them.
    for _ in 0..10 {
        authenticator.authenticate(&t, ReviewBudget::Node).await.unwrap();
    }
    reviews.until_asked(2).await;
    authenticator.authenticate(&t, ReviewBudget::Node).await.unwrap();
    assert_eq!(reviews.asked.load(Ordering::SeqCst), 2);

    // Refused now, it is so long before the first answer would have been too old.
    reviews.accepts.store(false, Ordering::SeqCst);
    reviews.answers.add_permits(1);
    while authenticator.authenticate(&t, ReviewBudget::Node).await.is_ok() {
        tokio::task::yield_now().await;
    }
    assert_eq!(reviews.asked.load(Ordering::SeqCst), 2);
}

#[test]
fn tokens_that_came_at_once_are_reviewed_anew_over_seconds() {
    let tokens: Vec<String> = (0..256).map(|number| format!("t{number}")).collect();
    let at = |token: &String| ahead(&Sha256::digest(token.as_bytes()).into());
    let (first, last) = (tokens.iter().map(at).min(), tokens.iter().map(at).max());
    assert!(last.unwrap() - first.unwrap() > Duration::from_secs(3));
    assert!(last.unwrap() < Duration::from_millis(8_500));
}

fn status(value: serde_json::Value) -> TokenReviewStatus {
    serde_json::from_value(value).unwrap()
}

#[test]
fn only_what_is_accepted_for_our_audience_is_a_caller() {
    let user = json!({"username": "system:serviceaccount:shop:app", "groups": ["g"], "extra": {
        "authentication.kubernetes.io/pod-name": ["app-1"], "authentication.kubernetes.io/pod-uid": ["u-1"],
        "authentication.kubernetes.io/node-name": ["n-1"]}});
    let good = json!({"authenticated": true, "audiences": ["strongroom.dev"], "user": user});
    let caller = accepted(status(good.clone()), "strongroom.dev").unwrap();
    assert_eq!(caller.principal.identity.to_string(), "serviceaccount shop/app");
    assert_eq!(caller.pod, Some(("app-1".to_owned(), "u-1".to_owned())));
    assert_eq!(caller.node.as_deref(), Some("n-1"));
    assert_eq!(caller.principal.groups, ["g"]);
    for (key, value) in [
        ("authenticated", json!(false)),
        ("audiences", json!(["https://kubernetes.default.svc"])),
        ("audiences", json!(null)),
        ("user", json!(null)),
        ("user", json!({"username": ""})),
    ] {
        let mut bad = good.clone();
        bad[key] = value;
        assert_eq!(accepted(status(bad.clone()), "strongroom.dev"), None, "{bad}");
    }
}

#[test]
fn grace_ends_with_the_token() {
    let ends = end_of(&made_with(&json!({"exp": 1000, "iss": "x"})));
    assert_eq!(ends, Some(1000));
    let caller = accepted(
        status(json!({"authenticated": true, "audiences": ["a"], "user": {"username": "jane"}})),
        "a",
    );
    let answer = CachedReview {
        caller: caller.map(Arc::new),
        ends,
    };
    assert!(in_grace(&answer, 999));
    assert!(!in_grace(&answer, 1000));
    let refused = CachedReview {
        caller: None,
        ..answer
    };
    assert!(!in_grace(&refused, 0));
}
