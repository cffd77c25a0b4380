//! The API: secrets over HTTPS, under policies, on record.
//!
//! A request is authenticated, decided and recorded before anything of a secret leaves; only an answer that
//! nothing changed leaves no record. Must not decide by itself: `rules` does, and the store.

mod access;
mod attestations;
mod authenticate;
mod changes;
mod delivery;
pub(crate) mod extension_api;
mod forwarded;
mod labels;
mod limits;
pub(crate) mod listen;
mod may_get;
mod namespaces;
mod objects;
mod openapi;
mod operation;
mod operations;
mod problem;
mod recent_puts;
pub(crate) mod request;
mod sealing_keys;
mod single_flight;
pub(crate) mod tls;
mod ttl_cache;

#[cfg(test)]
mod tests;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{FromRequestParts, Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, Response, StatusCode, header, request::Parts};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::IntoResponse;
use axum::routing::get;
use jiff::Timestamp;
use kube::Client;
use strongroom_process::{Check, Health, Shutdown, WorkPool};
use strongroom_rules::policy::Action;
use strongroom_store::audit::{self, AuditOutcome, Durability};
use strongroom_store::id::{NamespaceId, RequestId};
use strongroom_store::vault::{AuditNote, KeyRef, KeyView, Meta, SecretView, Store};
use tokio::sync::watch;

use self::access::RequestContext;
use self::authenticate::{Authenticator, Caller, ReviewBudget};
use self::changes::ChangeFeed;
pub(crate) use self::delivery::NodeAccount;
use self::delivery::{Nodes, PodClient};
pub(crate) use self::forwarded::ExtensionApiAccounts;
use self::forwarded::Forwarded;
use self::labels::LabelCache;
use self::limits::Limits;
pub(crate) use self::limits::Rates;
use self::listen::{Admission, Connection, EndReason, Peer, ResponseGuard};
use self::namespaces::Namespaces;
use self::problem::{Code, Problem};
use self::recent_puts::RecentPuts;
pub(crate) use self::request::{AddressShare, AddressShares, RefusalMetrics};
use self::request::{AdmissionOutcome, Capacity, LimitScope, LimitedResource, RefusalReason, Slot};
use self::sealing_keys::SealingKeys;
#[cfg(test)]
pub(crate) use self::tls::test_pem;
use self::tls::{
    CaStore, CertResolver, CertificateRotator, ClientCertificateRotator, ClientProcess,
    GatewayConfigResolver, MutualTlsConfig,
};
pub(crate) use self::tls::{FileCertificate, TlsError};
use crate::attestation::PendingAttestations;
use crate::audit::HeldHours;
use crate::cluster_keys::ClusterKeys;
use crate::consumers::ConsumerIndex;
use crate::delivery_policy::DeliveryPolicyIndex;
use crate::external_sources::ExternalSourceIndex;
use crate::large_objects::LargeObjectLimiter;
use crate::own_secret;
use crate::policies::Policies;

/// How the API is served.
#[derive(Clone, Debug)]
pub(crate) struct GatewaySettings {
    /// Its port.
    pub(crate) listen: SocketAddr,
    /// DNS names and addresses that it is called by.
    pub(crate) names: Vec<String>,
    /// A certificate that is given, in place of our own.
    pub(crate) certificate: Option<FileCertificate>,
    /// The Service of the extension API in the process's own namespace, where there is one.
    pub(crate) front: Option<String>,
    /// The Service of the webhook in the process's own namespace, where there is one.
    pub(crate) webhook: Option<String>,
    /// The port where that one says who writes objects.
    pub(crate) attestations: SocketAddr,
    /// The ServiceAccounts that node plugins run as, where there are any.
    pub(crate) node_accounts: Vec<NodeAccount>,
    /// Whether ServiceAccounts may come over the extension API.
    pub(crate) front_accounts: ExtensionApiAccounts,
    /// The audience that tokens must be made for.
    pub(crate) audience: String,
    /// Requests a second.
    pub(crate) rates: Rates,
    /// What one address may have of what all strangers share.
    pub(crate) addresses: AddressShares,
    /// When the record of a read must be on the medium.
    pub(crate) durability: Durability,
}

/// The API cannot be served.
#[derive(Debug, thiserror::Error)]
pub(crate) enum GatewayError {
    /// The port.
    #[error("cannot listen on {address}: {source}")]
    Bind {
        address: SocketAddr,
        source: std::io::Error,
    },
    /// The certificate.
    #[error(transparent)]
    Tls(#[from] TlsError),
}

/// What every request has at hand.
struct Gateway {
    client: Client,
    store: Store,
    policies: Policies,
    declared: ExternalSourceIndex,
    authenticator: Arc<Authenticator>,
    namespaces: Namespaces,
    labels: LabelCache,
    limits: Limits,
    sealing_keys: SealingKeys,
    puts: RecentPuts,
    /// Scans of the audit log, by turns of those who ask.
    scans: WorkPool,
    cluster_keys: ClusterKeys,
    durability: Durability,
    /// What there is room for at the same time.
    capacity: Capacity,
    changes: ChangeFeed,
    nodes: Nodes,
    front_accounts: ExtensionApiAccounts,
    consumers: ConsumerIndex,
    pods: PodClient,
    terms: DeliveryPolicyIndex,
    /// Large objects that are read.
    under_way: LargeObjectLimiter,
    /// How far back the audit log reaches.
    held: HeldHours,
    /// The process ends.
    ending: Shutdown,
}

impl std::fmt::Debug for Gateway {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Gateway")
            .field("store", &self.store)
            .finish_non_exhaustive()
    }
}

/// What the API shares with the controllers.
#[derive(Clone, Debug)]
pub(crate) struct SharedState {
    /// The statements in force.
    pub(crate) policies: Policies,
    /// Who takes values over the API.
    pub(crate) declared: ExternalSourceIndex,
    /// What values in manifests are sealed for.
    pub(crate) cluster_keys: ClusterKeys,
    /// On which terms volumes have secrets.
    pub(crate) terms: DeliveryPolicyIndex,
    /// Who has which version.
    pub(crate) consumers: ConsumerIndex,
    /// How far back the audit log reaches.
    pub(crate) held: HeldHours,
    /// Who is about to write objects.
    pub(crate) pending_attestations: PendingAttestations,
}

/// What the gateway has of the process that it runs in.
#[derive(Debug)]
pub(crate) struct ProcessContext {
    /// The namespace: name and UID.
    pub(crate) namespace: (String, String),
    /// Where it says what clients must trust.
    pub(crate) bundle: watch::Sender<String>,
    /// Where it says that it serves.
    pub(crate) health: Health,
    /// What it counts.
    pub(crate) refusals: RefusalMetrics,
}

/// Serves the API until the shutdown begins.
///
/// # Errors
/// [`GatewayError`] where it cannot begin.
pub(crate) async fn run(
    settings: GatewaySettings,
    client: Client,
    store: Store,
    shared: SharedState,
    own: ProcessContext,
    shutdown: Shutdown,
) -> Result<(), GatewayError> {
    let listener = listen::bind(settings.listen).await?;
    let served = Arc::new(CertResolver::default());
    let kept = CaStore::new(store.clone(), own.namespace.clone());
    let own_name = own.namespace.0.clone();
    match settings.certificate {
        Some(given) => given.serve(Arc::clone(&served), shutdown.clone())?,
        None => {
            let keeper = CertificateRotator {
                kept: kept.clone(),
                names: settings.names,
                served: Arc::clone(&served),
                bundle: own.bundle,
                now: Timestamp::now,
            };
            keeper.serve(shutdown.clone()).await?;
        }
    }
    let (extension_api_tls, webhook_tls) = (
        Arc::new(MutualTlsConfig::default()),
        Arc::new(MutualTlsConfig::default()),
    );
    let attested = match &settings.webhook {
        Some(_) => Some(listen::bind(settings.attestations).await?),
        None => None,
    };
    let called = [
        (
            settings.front,
            ClientProcess::ExtensionApi(Arc::clone(&extension_api_tls)),
        ),
        (settings.webhook, ClientProcess::Webhook(Arc::clone(&webhook_tls))),
    ];
    let called = called.map(|(service, called)| {
        let keeper = ClientCertificateRotator {
            kept: kept.clone(),
            client: client.clone(),
            namespace: own_name.clone(),
            service: service?,
            called,
            now: Timestamp::now,
        };
        Some(tokio::spawn(keeper.keep(shutdown.clone())))
    });
    let node_accounts = settings
        .node_accounts
        .iter()
        .map(|account| account.identity(&own_name))
        .collect();
    let limits = Limits::new(settings.rates);
    let authenticator = Authenticator::new(
        client.clone(),
        settings.audience,
        limits.failures(),
        own.refusals.clone(),
    );
    let admission = Admission::new(settings.addresses, own.refusals.clone());
    let attesting = attested.map(|listener| {
        tokio::spawn(attestations::serve(
            listener,
            webhook_tls,
            (store.clone(), shared.pending_attestations),
            // Whoever has not proven itself has no more room for there being two ports.
            admission.clone(),
            shutdown.clone(),
        ))
    });
    let gateway = Arc::new(Gateway {
        policies: shared.policies,
        declared: shared.declared,
        authenticator: Arc::new(authenticator),
        namespaces: Namespaces::new(client.clone(), store.clone()),
        store,
        labels: LabelCache::new(client.clone()),
        pods: PodClient::new(client.clone()),
        client,
        limits,
        sealing_keys: SealingKeys::default(),
        puts: RecentPuts::default(),
        scans: WorkPool::with_threads(MAX_SCANS),
        cluster_keys: shared.cluster_keys,
        durability: settings.durability,
        capacity: Capacity::new(admission.clone(), own.refusals),
        changes: ChangeFeed::default(),
        nodes: Nodes::new(node_accounts),
        front_accounts: settings.front_accounts,
        consumers: shared.consumers,
        terms: shared.terms,
        under_way: LargeObjectLimiter::default(),
        held: shared.held,
        ending: shutdown.clone(),
    });
    let following = gateway
        .changes
        .clone()
        .follow(gateway.store.clone(), shutdown.clone());
    let following = tokio::spawn(following);
    let forgetting = tokio::spawn(forget(Arc::clone(&gateway), shutdown.clone()));
    if gateway.nodes.are_enabled() {
        let presence = Arc::clone(gateway.nodes.presence());
        presence.set_watched();
        // It ends with the same shutdown, and nobody waits for it.
        tokio::spawn(delivery::watch(
            gateway.client.clone(),
            presence,
            shutdown.clone(),
        ));
    }
    if let Ok(address) = listener.local_addr() {
        tracing::info!(%address, "serving API");
    }
    own.health.set("gateway", Check::Ready);
    let resolver = GatewayConfigResolver {
        everybody: Arc::new(served.config()),
        extension_api: extension_api_tls,
    };
    listen::serve(listener, Arc::new(resolver), router(gateway), admission, shutdown).await;
    // They end with the same shutdown.
    let _ = forgetting.await;
    let _ = following.await;
    for task in called.into_iter().flatten().chain(attesting) {
        let _ = task.await;
    }
    Ok(())
}

/// Every minute, forgets who has not asked for anything lately.
async fn forget(gateway: Arc<Gateway>, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = tokio::time::sleep(std::time::Duration::from_secs(60)) => {}
            () = shutdown.wait() => return,
        }
        gateway.limits.forget();
        gateway.capacity.publish_stranger_bytes();
        gateway.sealing_keys.forget();
        gateway.puts.forget(Timestamp::now());
        gateway.authenticator.forget();
        gateway.consumers.readers().forget();
        gateway.consumers.changed(gateway.consumers.volumes().forget());
        gateway.namespaces.forget();
        gateway.nodes.presence().forget();
        gateway.labels.forget();
    }
}

fn router(gateway: Arc<Gateway>) -> Router {
    let operations = operations::all();
    // As it is sent: a document in parts would be taken apart and copied with each clone of the handler.
    let document = Bytes::from(openapi::document(&operations).to_string());
    let json = [(header::CONTENT_TYPE, HeaderValue::from_static("application/json"))];
    let mut router = Router::new().route("/healthz", get(async || "ok\n"));
    for operation in operations {
        router = router.route(operation.path, operation.handler);
    }
    router = router.route(
        "/v1/openapi.json",
        get(async move |_: RequestContext| (json.clone(), document.clone())),
    );
    if gateway.nodes.are_enabled() {
        router = router.route_service(delivery::ATTACH_PATH, delivery::service(Arc::clone(&gateway)));
    }
    router
        .fallback(async || Problem::new(Code::NoSuchPath, "the paths are listed in docs/api.md"))
        .method_not_allowed_fallback(async || {
            Problem::new(
                Code::MethodNotAllowed,
                "the method of this path is listed in docs/api.md",
            )
        })
        .layer(axum::extract::DefaultBodyLimit::max(limits::MAX_BODY_BYTES))
        .layer(from_fn_with_state(Arc::clone(&gateway), request_middleware))
        .with_state(gateway)
}

/// Scans of the audit log at the same time: one namespace has half of them.
const MAX_SCANS: usize = 2;
/// The header under which the request's id is told.
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// A request as it arrived.
#[derive(Clone, Copy, Debug)]
struct Arrival {
    request: RequestId,
    at: Instant,
}

/// Around every request: its id, its bounds, and the document of what went wrong.
async fn request_middleware(
    State(gateway): State<Arc<Gateway>>,
    mut request: Request,
    next: Next,
) -> Response<Body> {
    let Ok(id) = RequestId::generate() else {
        return StatusCode::INTERNAL_SERVER_ERROR.into_response();
    };
    request.extensions_mut().insert(Arrival {
        request: id,
        at: Instant::now(),
    });
    let arrived = match request.extensions().get::<Peer>() {
        Some(peer) => gateway.capacity.admit(peer, &request),
        None => return StatusCode::INTERNAL_SERVER_ERROR.into_response(),
    };
    let (mut response, slot) = match arrived {
        AdmissionOutcome::Admitted(slot) => {
            request.extensions_mut().insert(Arc::clone(&slot));
            let answer = tokio::time::timeout(limits::REQUEST_TIMEOUT, next.run(request)).await;
            let answer = answer.unwrap_or_else(|_| {
                Problem::new(Code::Timeout, "try again")
                    .retry_after(1)
                    .into_response()
            });
            (answer, slot)
        }
        AdmissionOutcome::Refused(slot, problem) => (problem.into_response(), slot),
        AdmissionOutcome::Dropped(full) => {
            if let Some(connection) = request.extensions().get::<Arc<Connection>>() {
                connection.end(EndReason::Share(full));
            }
            return StatusCode::SERVICE_UNAVAILABLE.into_response();
        }
    };
    if let Some(problem) = response.extensions_mut().remove::<Problem>() {
        response = problem.document(&id);
    }
    // What the request holds it holds until its answer is taken.
    response.extensions_mut().insert(ResponseGuard::new(slot));
    if let Ok(value) = HeaderValue::from_str(&id.to_string()) {
        response.headers_mut().insert(REQUEST_ID, value);
    }
    // Nothing of a secret is for a cache on the way.
    response
        .headers_mut()
        .insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl FromRequestParts<Arc<Gateway>> for RequestContext {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, gateway: &Arc<Gateway>) -> Result<Self, Problem> {
        let Arrival { request, at: arrived } = *parts
            .extensions
            .get::<Arrival>()
            .ok_or_else(|| Problem::new(Code::InvalidRequest, "the request has no id"))?;
        let peer = *parts
            .extensions
            .get::<Peer>()
            .ok_or_else(|| Problem::new(Code::InvalidRequest, "the request has no source"))?;
        let source = peer.address.ip().to_canonical();
        let now = Timestamp::now();
        let (caller, source) = match gateway.caller(peer, &parts.headers).await {
            Ok((caller, from)) => (caller, from.unwrap_or(source)),
            Err(problem) => {
                gateway.count_unauthenticated(source, &problem)?;
                let note = AuditNote {
                    outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
                    ..AuditNote::new(audit::Action::Authenticate)
                };
                let meta = access::unauthenticated_meta(source, None, request, arrived);
                // What ails the audit may name a system that is no stranger's business.
                gateway.record_request(note, meta).await.map_err(|failed| {
                    Problem::new(failed.code(), "the request cannot be audited now").retry_after(1)
                })?;
                return Err(problem);
            }
        };
        let slot = parts
            .extensions
            .get::<Arc<Slot>>()
            .ok_or_else(|| Problem::new(Code::InvalidRequest, "the request has no slot"))?;
        let identity = &caller.principal.identity;
        if peer.proven {
            gateway.capacity.prove_person(slot, identity)?;
            if let Err(problem) = gateway.front_accounts.admit(identity) {
                let asking = Self {
                    caller,
                    source,
                    request,
                    now,
                    arrived,
                    pod_labels: None,
                    node_labels: None,
                };
                return Err(gateway.refuse_service_account(&asking, problem).await);
            }
        } else {
            gateway
                .capacity
                .prove(slot, parts.extensions.get::<Arc<Connection>>(), identity)?;
        }
        let (pod_labels, node_labels) = if gateway.policies.asks_labels() {
            gateway.labels.for_caller(&caller).await
        } else {
            (None, None)
        };
        Ok(Self {
            caller,
            source,
            request,
            now,
            arrived,
            pod_labels,
            node_labels,
        })
    }
}

/// The token of a request, where it has one (RFC 6750 section 2.1).
fn bearer(headers: &HeaderMap) -> Option<&str> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// Runs what touches the disk where it holds nobody up.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Problem> + Send + 'static,
) -> Result<T, Problem> {
    tokio::task::spawn_blocking(work)
        .await
        .map_err(|_| Problem::new(Code::StoreUnavailable, "the process is ending").retry_after(2))?
}

/// A namespace that a request is about.
#[derive(Clone, Debug)]
struct NamespaceRef {
    name: String,
    /// Its id in the store, where it has one.
    id: Option<NamespaceId>,
}

impl Gateway {
    /// Who asks, and where from, if that is not the other end of the connection.
    async fn caller(
        &self,
        peer: Peer,
        headers: &HeaderMap,
    ) -> Result<(Arc<Caller>, Option<IpAddr>), Problem> {
        if peer.proven {
            return Forwarded::read(headers)
                .map(Forwarded::caller)
                .map(|(caller, from)| (Arc::new(caller), from))
                .ok_or_else(|| Problem::new(Code::Unauthenticated, "the API server sent no user"));
        }
        let asker = ReviewBudget::Stranger(peer.address.ip().to_canonical());
        let token = bearer(headers).unwrap_or_default();
        Ok((self.authenticator.authenticate(token, asker).await?, None))
    }

    /// Counts a ServiceAccount that may not come over the extension API, and puts it on record. What is
    /// answered.
    async fn refuse_service_account(&self, asking: &RequestContext, problem: Problem) -> Problem {
        self.capacity.refusals().refused(
            LimitedResource::Request,
            LimitScope::ExtensionApi,
            RefusalReason::ServiceAccount,
        );
        let note = AuditNote {
            outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
            ..AuditNote::new(audit::Action::Authenticate)
        };
        match self.record_request(note, asking.meta(&[])).await {
            Ok(()) => problem,
            Err(failed) => failed,
        }
    }

    /// Counts somebody at this address who could not say who it is.
    ///
    /// # Errors
    /// What is answered instead, without a record: it happens too often.
    fn count_unauthenticated(&self, source: IpAddr, problem: &Problem) -> Result<(), Problem> {
        let refused = self.capacity.refusals();
        match problem.code() {
            Code::Unauthenticated => refused.refused(
                LimitedResource::Request,
                LimitScope::Address,
                RefusalReason::Token,
            ),
            // It is counted where it is found out, and it is no failure of its own.
            Code::TooManyRequests => return Err(problem.clone()),
            _ => {}
        }
        self.limits.take_failure(source).inspect_err(|_| {
            refused.refused(
                LimitedResource::Request,
                LimitScope::Address,
                RefusalReason::Failures,
            )
        })
    }

    /// Takes one read of the caller, and makes sure that the namespace is the one that the store knows.
    async fn admit(
        &self,
        asking: &RequestContext,
        action: Action,
        namespace: String,
    ) -> Result<NamespaceRef, Problem> {
        self.limits.take_read(&asking.caller.principal.identity)?;
        self.place(asking, action, namespace).await
    }

    /// The same for a write.
    async fn admit_write(
        &self,
        asking: &RequestContext,
        action: Action,
        namespace: String,
    ) -> Result<NamespaceRef, Problem> {
        self.limits.take_write(&asking.caller.principal.identity)?;
        self.place(asking, action, namespace).await
    }

    async fn place(
        &self,
        asking: &RequestContext,
        action: Action,
        namespace: String,
    ) -> Result<NamespaceRef, Problem> {
        match self.namespaces.resolve(&namespace).await {
            Ok(id) => Ok(NamespaceRef { name: namespace, id }),
            Err(problem) => {
                let note = AuditNote {
                    outcome: AuditOutcome::Refused(problem.code().as_str().to_owned()),
                    namespace: namespace.parse().ok(),
                    ..AuditNote::new(access::audit_action(action))
                };
                self.record_request(note, asking.meta(&[])).await?;
                Err(problem)
            }
        }
    }

    /// Puts a request on record that is refused before anything of it touched the store.
    async fn record_request(&self, note: AuditNote, meta: Meta) -> Result<(), Problem> {
        let (store, durability) = (self.store.clone(), self.durability);
        blocking(move || Ok(store.record_request(note, &meta, durability)?)).await
    }

    /// The customer's key that a secret comes under, if it does.
    fn key(&self, secret: &SecretView) -> Result<Option<KeyView>, Problem> {
        match secret.key {
            KeyRef::Default => Ok(None),
            KeyRef::Customer(key) => Ok(Some(self.store.describe_key(secret.namespace, key)?)),
        }
    }

    /// Whether reading a value of this secret most likely waits for no medium: then it is quicker done than
    /// handed to a thread that may wait.
    fn is_value_cached(&self, place: &NamespaceRef, name: &str) -> bool {
        let known = || Some(self.store.has_cached_value(place.id?, &name.parse().ok()?));
        self.durability == Durability::Batched && known().unwrap_or(false)
    }

    /// The secret of this name, if there is one that is shown.
    fn find(&self, place: &NamespaceRef, name: &str) -> Result<Option<Arc<SecretView>>, Problem> {
        // Ours: what the gateway itself stands on is shown to nobody.
        if name.starts_with(own_secret::NAME_PREFIX) {
            return Ok(None);
        }
        let (Some(namespace), Ok(name)) = (place.id, name.parse()) else {
            return Ok(None);
        };
        Ok(self.store.find_cached(namespace, &name)?)
    }
}
