//! Which ManagedSecrets a person may `get`, asked of the API server by SubjectAccessReview
//! (<https://kubernetes.io/docs/reference/kubernetes-api/authorization-resources/subject-access-review-v1/>).
//!
//! The extension API server asks, and not the gateway: it alone has all that the API server verified of the
//! person, so nobody else needs the right to ask. An answer counts for ten seconds, by person and object.
//! Without an answer nothing is allowed by RBAC, and policies decide alone.

use std::collections::BTreeMap;
use std::time::Duration;

use k8s_openapi::api::authorization::v1::{ResourceAttributes, SubjectAccessReview, SubjectAccessReviewSpec};
use kube::api::PostParams;
use kube::{Api, Client};
use sha2::{Digest, Sha256};

use crate::gateway::forwarded::ForwardedIdentity;
use crate::gateway::may_get::MayGet;
use crate::gateway::single_flight::SingleFlight;
use crate::gateway::ttl_cache::TtlCache;
use crate::kube::in_words;

/// How long an answer counts.
const ANSWER_TTL: Duration = Duration::from_secs(10);
/// How long the API server may take: the person waits meanwhile.
const REVIEW_TIMEOUT: Duration = Duration::from_secs(3);

/// Asks, and remembers the answers.
pub(super) struct Authorizer {
    client: Client,
    answers: TtlCache<[u8; 32], Option<MayGet>>,
    flights: SingleFlight<[u8; 32]>,
}

impl Authorizer {
    pub(super) fn new(client: Client) -> Self {
        Self {
            client,
            answers: TtlCache::default(),
            flights: SingleFlight::default(),
        }
    }

    /// Which objects the person may `get` that can declare the secret: all of the namespace, or the one of
    /// the secret's name. `extra` is what else the API server knows of the person.
    pub(super) async fn may_get(
        &self,
        person: &ForwardedIdentity,
        extra: &BTreeMap<String, Vec<String>>,
        namespace: &str,
        object: Option<&str>,
    ) -> Option<MayGet> {
        let question = digest(person, extra, namespace, object);
        if let Some(answer) = self.answers.get(&question, ANSWER_TTL) {
            return answer;
        }
        let _turn = self.flights.acquire(question).await;
        if let Some(answer) = self.answers.get(&question, ANSWER_TTL) {
            return answer;
        }
        let asked = self.ask(person, extra, namespace, object);
        match tokio::time::timeout(REVIEW_TIMEOUT, Box::pin(asked)).await {
            Ok(Ok(answer)) => {
                self.answers
                    .put(question, answer.clone(), |age, _| age < ANSWER_TTL);
                answer
            }
            Ok(Err(error)) => {
                tracing::warn!(error = %in_words(&error), "access review failed, policies decide alone");
                None
            }
            Err(_) => {
                tracing::warn!(error = "timed out", "access review failed, policies decide alone");
                None
            }
        }
    }

    async fn ask(
        &self,
        person: &ForwardedIdentity,
        extra: &BTreeMap<String, Vec<String>>,
        namespace: &str,
        object: Option<&str>,
    ) -> Result<Option<MayGet>, kube::Error> {
        for object in [None, object].into_iter().take(1 + usize::from(object.is_some())) {
            if self.review(person, extra, namespace, object).await? {
                return Ok(Some(MayGet {
                    namespace: namespace.to_owned(),
                    object: object.map(str::to_owned),
                }));
            }
        }
        Ok(None)
    }

    async fn review(
        &self,
        person: &ForwardedIdentity,
        extra: &BTreeMap<String, Vec<String>>,
        namespace: &str,
        object: Option<&str>,
    ) -> Result<bool, kube::Error> {
        let review = SubjectAccessReview {
            spec: SubjectAccessReviewSpec {
                user: Some(person.user.clone()),
                groups: Some(person.groups.clone()),
                extra: Some(extra.clone()),
                resource_attributes: Some(ResourceAttributes {
                    group: Some("strongroom.dev".to_owned()),
                    resource: Some("managedsecrets".to_owned()),
                    verb: Some("get".to_owned()),
                    namespace: Some(namespace.to_owned()),
                    name: object.map(str::to_owned),
                    ..ResourceAttributes::default()
                }),
                ..SubjectAccessReviewSpec::default()
            },
            ..SubjectAccessReview::default()
        };
        let answer = Api::<SubjectAccessReview>::all(self.client.clone())
            .create(&PostParams::default(), &review)
            .await?;
        Ok(answer.status.is_some_and(|status| status.allowed))
    }
}

/// All that the answer depends on. The same name with other groups is another person: impersonation makes
/// such.
fn digest(
    person: &ForwardedIdentity,
    extra: &BTreeMap<String, Vec<String>>,
    namespace: &str,
    object: Option<&str>,
) -> [u8; 32] {
    let mut hasher = Sha256::new();
    let mut add = |part: &str| {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    };
    let mut groups: Vec<&String> = person.groups.iter().collect();
    groups.sort();
    add(&groups.len().to_string());
    groups.iter().for_each(|group| add(group));
    for (key, values) in extra {
        add(&values.len().to_string());
        add(key);
        values.iter().for_each(|value| add(value));
    }
    for part in [&person.user, namespace, object.unwrap_or_default()] {
        add(part);
    }
    hasher.finalize().into()
}
