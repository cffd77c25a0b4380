//! Somebody with the rights of `edit` in a namespace of their own, and pods there, who does their worst.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::{Namespace, ServiceAccount};
use kube::Client;
use kube::api::{
    Api, ApiResource, DeleteParams, DynamicObject, GroupVersionKind, ListParams, Patch, PatchParams,
    PostParams,
};
use serde_json::Value;
use tokio::task::JoinSet;

use super::callers::{self, Attempts};
use super::objects::{self, NAMESPACE};
use super::strangers::{Stranger, strangers};
use super::target::Target;

/// Their ServiceAccount.
const ACCOUNT: &str = "account";
/// Their pods, each with an address that nobody else has.
const PODS: [Ipv4Addr; 4] = [
    Ipv4Addr::new(127, 66, 0, 1),
    Ipv4Addr::new(127, 66, 0, 2),
    Ipv4Addr::new(127, 66, 0, 3),
    Ipv4Addr::new(127, 66, 0, 4),
];
/// More tries than anybody waits for.
const MAX_ATTEMPTS: usize = 1_000_000;
/// What is held at the same time by each pod, and for how long.
const HELD_REQUESTS: usize = 2_048;
const HOLD_TIME: Duration = Duration::from_millis(500);
/// Who writes their objects.
const MANAGER: &str = "attacker";

/// What they do, for as long as nobody stops them.
#[derive(Clone, Copy, Debug)]
pub enum Attack {
    /// By requests, from each of their pods.
    Traffic(Traffic),
    /// By custom resources.
    Objects(Objects),
}

/// What their pods send to the API.
#[derive(Clone, Copy, Debug)]
pub enum Traffic {
    /// What needs no token.
    Stranger(Stranger),
    /// Tokens that the API server has to be asked about.
    JunkTokens,
    /// Reads of a secret that no policy lets the caller read.
    RefusedReads,
    /// Reads of names as long as a head can have.
    LongNames,
    /// Requests whose bodies do not come.
    Bodies,
    /// Values that are not taken.
    UnreadValues,
    /// Watches, as many as there are.
    Watches,
}

/// What they declare.
#[derive(Clone, Copy, Debug)]
pub enum Objects {
    /// The largest policy, rewritten ten times a second.
    Policies,
    /// Keys that take a processor long, made and rotated.
    Keys,
    /// So many objects as large as the API server takes.
    Large(usize),
    /// Secrets that are made and deleted, each with a value as large as there is.
    CreateAndDelete,
    /// Many secrets that vanish at once, again and again.
    ManyDeletions,
}

impl Attack {
    /// All of them, with so many large objects.
    #[must_use]
    pub const fn all(large_objects: usize) -> [Self; 15] {
        [
            Self::Traffic(Traffic::Stranger(Stranger::Silent)),
            Self::Traffic(Traffic::Stranger(Stranger::HalfHead)),
            Self::Traffic(Traffic::Stranger(Stranger::HalfHello)),
            Self::Traffic(Traffic::Stranger(Stranger::Unread)),
            Self::Traffic(Traffic::JunkTokens),
            Self::Traffic(Traffic::RefusedReads),
            Self::Traffic(Traffic::LongNames),
            Self::Traffic(Traffic::Bodies),
            Self::Traffic(Traffic::UnreadValues),
            Self::Traffic(Traffic::Watches),
            Self::Objects(Objects::Policies),
            Self::Objects(Objects::Keys),
            Self::Objects(Objects::Large(large_objects)),
            Self::Objects(Objects::CreateAndDelete),
            Self::Objects(Objects::ManyDeletions),
        ]
    }
}

/// With a namespace, and a token of a ServiceAccount in it.
#[derive(Clone)]
pub struct Attacker {
    client: Client,
    target: Target,
    token: String,
    /// The path of a secret that they may not read.
    victim: String,
    /// Between two requests, and between two objects.
    pause: Duration,
}

/// Without the token.
impl std::fmt::Debug for Attacker {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Attacker")
            .field("target", &self.target)
            .field("victim", &self.victim)
            .finish_non_exhaustive()
    }
}

impl Attacker {
    /// Makes the namespace, the account, and a secret that the account may read. `victim` is the path of one
    /// that it may not.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn prepare(client: Client, target: Target, victim: &str) -> Result<Self, kube::Error> {
        let mut namespace = Namespace::default();
        namespace.metadata.name = Some(NAMESPACE.to_owned());
        Api::all(client.clone())
            .create(&PostParams::default(), &namespace)
            .await?;
        let mut account = ServiceAccount::default();
        account.metadata.name = Some(ACCOUNT.to_owned());
        let accounts = Api::<ServiceAccount>::namespaced(client.clone(), NAMESPACE);
        accounts.create(&PostParams::default(), &account).await?;
        let request = TokenRequest {
            spec: TokenRequestSpec {
                audiences: vec!["strongroom.dev".to_owned()],
                expiration_seconds: Some(3_600),
                bound_object_ref: None,
            },
            ..TokenRequest::default()
        };
        let token = accounts
            .create_token_request(ACCOUNT, &PostParams::default(), &request)
            .await?;
        let it = Self {
            client,
            target,
            token: token.status.map(|status| status.token).unwrap_or_default(),
            victim: victim.to_owned(),
            pause: Duration::ZERO,
        };
        it.apply(&objects::own(ACCOUNT)).await?;
        Ok(it)
    }

    /// Waits so long between two requests of a pod, and between two objects. Without it the attacker takes a
    /// whole processor.
    #[must_use]
    pub fn with_pause(self, pause: Duration) -> Self {
        Self { pause, ..self }
    }

    fn api(&self, kind: &str) -> Api<DynamicObject> {
        let mut resource = ApiResource::from_gvk(&GroupVersionKind::gvk("strongroom.dev", "v1alpha1", kind));
        if kind == "SecretPolicy" {
            resource.plural = "secretpolicies".to_owned();
        }
        Api::namespaced_with(self.client.clone(), NAMESPACE, &resource)
    }

    async fn apply(&self, object: &Value) -> Result<(), kube::Error> {
        let text = |pointer: &str| {
            object
                .pointer(pointer)
                .and_then(Value::as_str)
                .unwrap_or_default()
        };
        let parameters = PatchParams::apply(MANAGER).force();
        let api = self.api(text("/kind"));
        api.patch(text("/metadata/name"), &parameters, &Patch::Apply(object))
            .await
            .map(drop)
    }

    /// Applies an object; being refused is no failure.
    async fn try_apply(&self, object: &Value) {
        let _ = self.apply(object).await;
        tokio::time::sleep(self.pause).await;
    }

    /// Takes away what an attack left.
    ///
    /// # Errors
    /// Those of the API server.
    pub async fn clean_up(&self) -> Result<(), kube::Error> {
        let others = ListParams::default().fields(&format!("metadata.name!={}", objects::OWN));
        for kind in ["ManagedSecret", "SecretPolicy"] {
            self.api(kind)
                .delete_collection(&DeleteParams::default(), &others)
                .await?;
        }
        Ok(())
    }

    /// Goes on for ever, but for its tries; what it holds goes with the future.
    pub async fn attack(self: Arc<Self>, attack: Attack) {
        match attack {
            Attack::Traffic(traffic) => {
                let mut pods: JoinSet<()> = PODS
                    .into_iter()
                    .map(|from| Arc::clone(&self).send(traffic, from))
                    .collect();
                while pods.join_next().await.is_some() {}
            }
            Attack::Objects(Objects::Policies) => self.policies().await,
            Attack::Objects(Objects::Keys) => self.keys().await,
            Attack::Objects(Objects::Large(count)) => {
                for number in 0..count {
                    self.try_apply(&objects::large(&format!("large-{number}"))).await;
                }
            }
            Attack::Objects(Objects::CreateAndDelete) => self.create_and_delete().await,
            Attack::Objects(Objects::ManyDeletions) => self.many_deletions().await,
        }
    }

    /// The traffic of one pod. What is held is held for a while, and then again.
    async fn send(self: Arc<Self>, traffic: Traffic, from: Ipv4Addr) {
        let (target, token, own) = (&self.target, self.token.as_str(), own_path());
        let attempts = Attempts {
            most: MAX_ATTEMPTS,
            pause: self.pause,
        };
        for _ in 0..MAX_ATTEMPTS {
            let held = match traffic {
                Traffic::Stranger(kind) => strangers(target, kind, HELD_REQUESTS, &[from]).await,
                Traffic::Bodies => {
                    callers::bodies_that_do_not_come(target, from, token, NAMESPACE, HELD_REQUESTS).await
                }
                Traffic::UnreadValues => {
                    let path = format!("{own}/value");
                    callers::unread_values(target, from, token, &path, HELD_REQUESTS).await
                }
                Traffic::Watches => {
                    let path = format!("{own}/watch");
                    callers::watches(target, from, token, &path, HELD_REQUESTS).await
                }
                Traffic::JunkTokens => return callers::junk_tokens(target, from, attempts).await,
                Traffic::RefusedReads => {
                    return callers::reads(target, from, token, &self.victim, attempts).await;
                }
                Traffic::LongNames => {
                    return callers::long_names(target, from, token, NAMESPACE, attempts).await;
                }
            };
            tokio::time::sleep(HOLD_TIME).await;
            drop(held);
        }
    }

    async fn policies(&self) {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        for round in 0..MAX_ATTEMPTS {
            pace.tick().await;
            self.try_apply(&objects::largest_policy(round)).await;
        }
    }

    /// Twenty objects whose keys fit, and one whose keys don't. From then on a rotation of all twenty is
    /// asked for each second, while their first keys are made too: what is asked before a secret exists
    /// counts as done.
    async fn keys(&self) {
        let fitting = |number: usize| objects::keys(&format!("keys-{number}"), 15);
        for number in 0..20 {
            self.try_apply(&fitting(number)).await;
        }
        self.try_apply(&objects::keys("too-many-keys", 32)).await;
        let mut pace = tokio::time::interval(Duration::from_secs(1));
        for round in 0..MAX_ATTEMPTS {
            pace.tick().await;
            let word = format!("round-{round}");
            for number in 0..20 {
                self.try_apply(&objects::rotating(fitting(number), &word)).await;
            }
        }
    }

    async fn create_and_delete(&self) {
        let api = self.api("ManagedSecret");
        for round in 0..MAX_ATTEMPTS {
            self.try_apply(&objects::room(round)).await;
            let _ = api.delete(objects::ROOM, &DeleteParams::default()).await;
        }
    }

    async fn many_deletions(&self) {
        let api = self.api("ManagedSecret");
        for _ in 0..MAX_ATTEMPTS {
            for number in 0..30 {
                self.try_apply(&objects::small(&format!("many-{number}"))).await;
            }
            for number in 0..16 {
                let _ = api
                    .delete(&format!("many-{number}"), &DeleteParams::default())
                    .await;
            }
        }
    }
}

/// Where the secret is that they may read.
fn own_path() -> String {
    format!("/v1/namespaces/{NAMESPACE}/secrets/{}", objects::OWN)
}
