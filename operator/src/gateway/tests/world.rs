//! A gateway with the real store and the real policies, and how it is asked.

use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderMap, Request, StatusCode, header};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use strongroom_model::id::SecretId;
use strongroom_process::{Shutdown, WorkPool};
use strongroom_rules::policy::Identity;
use strongroom_rules::product::ProductDirectory;
use strongroom_store::audit::{Actor, AuditOutcome, Durability, Entry};
use strongroom_store::vault::{BindNamespace, CreateSecret, Meta, Quota, SecretView};
use strongroom_testing::store::{meta_by, new_secret, new_version, reads, store_within, value_under as one};

use super::api_server::FakeApiServer;
use crate::attestation::PendingAttestations;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::gateway::attestations::Attestations;
use crate::gateway::authenticate::Authenticator;
use crate::gateway::changes::ChangeFeed;
use crate::gateway::dedicated_gateway::DedicatedGateways;
use crate::gateway::delivery::{Nodes, PodClient};
use crate::gateway::labels::LabelCache;
use crate::gateway::limits::Rates;
use crate::gateway::listen::{Admission, GuardedResponse, Peer, RequestHandler, RequestOrigin};
use crate::gateway::listener_scope::ListenerScopes;
use crate::gateway::manager_homes::ManagerHomes;
use crate::gateway::metrics::GatewayMetrics;
use crate::gateway::namespaces::Namespaces;
use crate::gateway::protocols::{OWN, ProtocolService, bearer};
use crate::gateway::quota_reservations::QuotaReservations;
use crate::gateway::recent_puts::RecentPuts;
use crate::gateway::request::AddressShares;
use crate::gateway::request::token::made_for;
use crate::gateway::sealing_keys::SealingKeys;
use crate::gateway::state::MAX_SCANS;
use crate::gateway::{ExtensionApiAccounts, Gateway};
use crate::policies::{ObservedPolicy, Policies};
use crate::products::ProductDirectoryHandle;
use crate::store_handle::StoreHandle;

pub(in crate::gateway) struct World {
    pub(super) api: FakeApiServer,
    pub(in crate::gateway) gateway: Arc<Gateway>,
    pub(in crate::gateway) service: ProtocolService,
    /// As a port in front of it must have it.
    pub(in crate::gateway) admission: Admission,
    keep: tempfile::TempDir,
}

pub(super) struct TestAnswer {
    pub(super) status: StatusCode,
    pub(super) headers: HeaderMap,
    pub(super) body: Vec<u8>,
}

impl TestAnswer {
    pub(super) fn json(&self) -> Json {
        serde_json::from_slice(&self.body).unwrap()
    }

    pub(super) fn code(&self) -> (u16, String) {
        (
            self.status.as_u16(),
            self.json()["code"].as_str().unwrap_or_default().to_owned(),
        )
    }
}

pub(super) fn meta() -> Meta {
    let now = Timestamp::now().as_millisecond();
    meta_by(Actor::System, strongroom_model::time::Timestamp::from_millis(now))
}

impl World {
    /// With its policies loaded, and none of them.
    pub(in crate::gateway) fn new(reads: u32) -> Self {
        Self::with(reads).loaded()
    }

    pub(super) fn loaded(self) -> Self {
        let policies = &self.gateway.policies;
        policies.policies_listed(&std::collections::HashSet::new());
        policies.readers_listed(|_, _| false);
        self.gateway.products.publish(ProductDirectory::default());
        self
    }

    /// As at a start, before the lists of policies have come.
    pub(super) fn unloaded() -> Self {
        Self::with(0)
    }

    /// Without a node plugin.
    pub(in crate::gateway) fn without_nodes() -> Self {
        Self::build(0, None, ExtensionApiAccounts::Allow, None)
    }

    /// ServiceAccounts may not come over the extension API; no policy is there.
    pub(in crate::gateway) fn refusing_accounts() -> Self {
        Self::build(0, None, ExtensionApiAccounts::Refuse, None).loaded()
    }

    pub(super) fn with(reads: u32) -> Self {
        let account = "system:serviceaccount:strongroom:node";
        Self::build(reads, Some(account), ExtensionApiAccounts::Allow, None)
    }

    /// In which a namespace may have so much of the store.
    pub(super) fn within(quota: Quota) -> Self {
        Self::build(0, None, ExtensionApiAccounts::Allow, Some(quota)).loaded()
    }

    pub(super) fn build(
        rate: u32,
        account: Option<&str>,
        front_accounts: ExtensionApiAccounts,
        quota: Option<Quota>,
    ) -> Self {
        Self::build_beside(
            &DedicatedGateways::default(),
            rate,
            account,
            front_accounts,
            quota,
        )
    }

    /// In which there is this dedicated gateway as well; it is the shared one that is asked.
    pub(super) fn beside(gateway: &str) -> Self {
        let dedicated = DedicatedGateways::new(vec![gateway.parse().unwrap()]).unwrap();
        Self::build_beside(&dedicated, 0, None, ExtensionApiAccounts::Allow, None).loaded()
    }

    fn build_beside(
        dedicated: &DedicatedGateways,
        rate: u32,
        account: Option<&str>,
        front_accounts: ExtensionApiAccounts,
        quota: Option<Quota>,
    ) -> Self {
        let (store, keep) = store_within(quota);
        let api = FakeApiServer::default();
        let metrics = GatewayMetrics::default();
        let refusals = &metrics.refusals;
        let rates = Rates {
            reads: rate,
            writes: rate,
            all: 0,
        };
        let listeners = ListenerScopes::new(rates, dedicated, &AddressShares::default(), refusals);
        let shared = Arc::clone(&listeners.shared);
        let authenticator = Authenticator::new(
            api.client(),
            "strongroom.dev".to_owned(),
            Arc::clone(&shared.reviews),
        );
        let admission = shared.capacity.admission().clone();
        let gateway = Arc::new(Gateway {
            attestations: Attestations::new(StoreHandle::new(store.clone()), PendingAttestations::default()),
            client: api.client(),
            policies: Policies::default(),
            products: ProductDirectoryHandle::default(),
            reservations: QuotaReservations::default(),
            external_sources: ExternalSourceIndex::default(),
            authenticator: Arc::new(authenticator),
            namespaces: Namespaces::new(api.client(), store.clone()),
            store,
            labels: LabelCache::new(api.client()),
            manager_homes: ManagerHomes::new(api.client()),
            pods: PodClient::new(api.client()),
            large_objects: crate::large_objects::LargeObjectLimiter::default(),
            listeners,
            sealing_keys: SealingKeys::default(),
            puts: RecentPuts::default(),
            scans: WorkPool::with_threads(MAX_SCANS),
            cluster_keys: ClusterKeys::for_store("s-1"),
            durability: Durability::Batched,
            metrics,
            changes: ChangeFeed::default(),
            nodes: Nodes::new(account.map(Identity::from_username).into_iter().collect()),
            front_accounts,
            delivery_policies: DeliveryPolicyIndex::default(),
            audit_hours: crate::audit::HeldHours::default(),
            consumers: ConsumerIndex::new(Timestamp::now()),
            ending: Shutdown::default(),
        });
        let world = Self {
            api,
            service: OWN.service(Arc::clone(&gateway), shared),
            gateway,
            admission,
            keep,
        };
        world.namespace("shop");
        world.secret("shop", "db-main", "s3cr3t");
        world
    }

    /// Refusals are summed a minute: what is refused from now on is a record again.
    pub(super) fn a_minute_later(&self) {
        let now = Timestamp::now().as_millisecond() + 120_000;
        let now = strongroom_model::time::Timestamp::from_millis(now);
        self.gateway.store.write_refusal_sums(now).unwrap();
    }

    pub(super) fn namespace(&self, name: &str) {
        let uid = format!("uid-{name}");
        let bind = BindNamespace {
            name: name.parse().unwrap(),
            uid: uid.parse().unwrap(),
        };
        self.gateway.store.run(bind, meta()).unwrap();
        self.api.uids.lock().insert(name.to_owned(), uid);
    }

    pub(super) fn secret(&self, namespace: &str, name: &str, password: &str) -> SecretId {
        let window = strongroom_store::vault::Recovery::Window;
        self.made(namespace, name, password, window)
    }

    /// A secret whose deletion is followed by this.
    pub(super) fn secret_with(
        &self,
        namespace: &str,
        name: &str,
        recovery: strongroom_store::vault::Recovery,
    ) -> SecretId {
        self.made(namespace, name, "s3cr3t", recovery)
    }

    /// The namespace keeps nothing of what is deleted in it.
    pub(super) fn keeps_nothing(&self, namespace: &str) {
        let mut nothing = self.api.keep_nothing.lock();
        nothing.insert(namespace.to_owned());
    }

    pub(super) fn made(
        &self,
        namespace: &str,
        name: &str,
        password: &str,
        recovery: strongroom_store::vault::Recovery,
    ) -> SecretId {
        let namespace = self
            .gateway
            .store
            .namespace_named(&namespace.parse().unwrap())
            .unwrap()
            .unwrap();
        let create = CreateSecret {
            description: format!("about {name}"),
            labels: [("tier".to_owned(), "gold".to_owned())].into(),
            recovery,
            ..new_secret(namespace.id, name, one("password", password.as_bytes()))
        };
        let id = create.id;
        self.gateway.store.run(create, meta()).unwrap();
        id
    }

    /// Puts a version of a secret, with this password.
    pub(super) fn bring(&self, name: &str, version: &str, password: &[u8]) {
        self.bring_with(name, version, password, meta());
    }

    /// The same, as somebody's request.
    pub(super) fn bring_with(&self, name: &str, version: &str, password: &[u8], meta: Meta) {
        let put = new_version(self.stored(name).id, version, one("password", password));
        self.gateway.store.run(put, meta).unwrap();
    }

    /// The secret of this name belongs to an object of the same name.
    pub(in crate::gateway) fn bound(&self, name: &str) {
        let bind = strongroom_store::vault::BindObject {
            secret: self.stored(name).id,
            object: Some(strongroom_store::vault::ObjectRef {
                uid: format!("uid-{name}").parse().unwrap(),
                name: name.to_owned(),
            }),
        };
        self.gateway.store.run(bind, meta()).unwrap();
    }

    /// The secret of this name belongs to an object that has these readers.
    pub(in crate::gateway) fn read_by(&self, name: &str, readers: &[&str]) {
        self.bound(name);
        let readers: Vec<String> = readers.iter().map(|name| (*name).to_owned()).collect();
        let uid = format!("uid-{name}");
        self.gateway
            .policies
            .readers("shop", (name, &uid), name, &readers);
    }

    /// A secret of the namespace `shop`, as the store has it.
    pub(super) fn stored(&self, name: &str) -> SecretView {
        let store = &self.gateway.store;
        let shop = store.namespace_named(&"shop".parse().unwrap()).unwrap().unwrap();
        store.find(shop.id, &name.parse().unwrap()).unwrap().unwrap()
    }

    /// A policy by which an account may do this with secrets of the namespace `shop`.
    pub(in crate::gateway) fn allow(&self, policy: &str, account: &str, action: &str, secrets: &str) {
        let spec = serde_json::from_value(json!({"secrets": [secrets], "statements": [
            {"effect": "Allow", "principals": [{"serviceAccount": account}], "actions": [action]}]}));
        self.gateway
            .policies
            .policy("shop", policy, ObservedPolicy::first(policy, spec.unwrap()));
    }

    pub(super) async fn send(&self, request: axum::http::request::Builder, body: Body) -> TestAnswer {
        self.arriving(request, body, false).await
    }

    /// A request without a body from this address.
    pub(super) async fn from(&self, address: &str, request: axum::http::request::Builder) -> TestAnswer {
        let peer = Peer {
            address: address.parse().unwrap(),
            proven: false,
        };
        self.of_peer(request, Body::empty(), peer).await
    }

    /// A request over a connection whose client proved to be the extension API, or did not.
    pub(super) async fn arriving(
        &self,
        request: axum::http::request::Builder,
        body: Body,
        proven: bool,
    ) -> TestAnswer {
        let peer = Peer {
            address: "10.1.2.3:4567".parse().unwrap(),
            proven,
        };
        self.of_peer(request, body, peer).await
    }

    pub(super) async fn of_peer(
        &self,
        request: axum::http::request::Builder,
        body: Body,
        peer: Peer,
    ) -> TestAnswer {
        let mut request = request.body(body).unwrap();
        sign(request.headers_mut());
        let (parts, body) = self.answer(request, peer).await.response.into_parts();
        TestAnswer {
            status: parts.status,
            headers: parts.headers,
            body: axum::body::to_bytes(body, 1 << 20).await.unwrap().to_vec(),
        }
    }

    /// The answer as a port takes it, to a request that is signed already.
    pub(super) async fn answer(&self, request: Request<Body>, peer: Peer) -> GuardedResponse {
        let origin = RequestOrigin {
            peer,
            connection: None,
        };
        self.service.clone().answer(request, origin).await
    }

    pub(super) async fn get(&self, account: &str, path: &str) -> TestAnswer {
        let request = Request::builder()
            .uri(format!("/v1/namespaces/shop/secrets{path}"))
            .header("authorization", format!("Bearer {account}"));
        self.send(request, Body::empty()).await
    }

    /// The read chain.
    pub(super) fn records(&self) -> Vec<Entry> {
        reads(&self.gateway.store, &self.keep.path().join("store"))
    }

    pub(super) fn last(&self) -> (String, String, String) {
        let records = self.records();
        let entry = records.last().unwrap();
        let outcome = match &entry.outcome {
            AuditOutcome::Done => "Done".to_owned(),
            AuditOutcome::Refused(code) => code.clone(),
        };
        (entry.actor.to_string(), entry.action.name().to_owned(), outcome)
    }
}
/// The token whose subject this is; what is no subject is no token either.
pub(in crate::gateway) fn token(subject: &str) -> String {
    if subject.contains('/') && !subject.contains('.') {
        made_for(subject)
    } else {
        subject.to_owned()
    }
}

/// Puts the token of a subject in the place of its name.
pub(super) fn sign(headers: &mut HeaderMap) {
    if let Some(subject) = bearer(headers) {
        let token = format!("Bearer {}", token(subject)).parse().unwrap();
        headers.insert(header::AUTHORIZATION, token);
    }
}

pub(super) fn record(actor: &str, action: &str, outcome: &str) -> (String, String, String) {
    (actor.to_owned(), action.to_owned(), outcome.to_owned())
}
