//! The shared gateway and a dedicated one: what is used up at one of them is there at the other.

use super::products::facts;
use super::*;
use crate::gateway::authenticate::Caller;
use crate::gateway::listen::{RequestHandler, RequestOrigin};
use crate::gateway::listener_scope::{GatewayKind, ListenerScope};
use crate::gateway::protocols::{OWN, ProtocolService};
use crate::gateway::request::AddressShares;

/// More than any of the limits that are set here.
const MANY: usize = 1_000;

/// A gateway beside the shared one of a world.
struct Dedicated {
    scope: Arc<ListenerScope>,
    service: ProtocolService,
}

impl Dedicated {
    fn new(world: &World, settings: &str) -> Self {
        let gateway = format!("aigw=127.0.0.1:0,{settings}").parse().unwrap();
        let refusals = &world.gateway.metrics.refusals;
        let scope = ListenerScope::dedicated(&gateway, &AddressShares::default(), refusals);
        let scope = Arc::new(scope);
        let service = OWN.service(Arc::clone(&world.gateway), Arc::clone(&scope));
        Self { scope, service }
    }
}

impl World {
    /// The same, asked at a dedicated gateway with this setting and no rates from now on.
    pub(super) fn asked_at(mut self, setting: &str) -> Self {
        let Dedicated { service, .. } = Dedicated::new(&self, &format!("{setting},readRate=0,writeRate=0"));
        self.service = service;
        self
    }
}

/// What a caller gets that reads a product's paid secret by a listener: status, and code of the problem.
async fn read(service: &ProtocolService, account: &str) -> (u16, String) {
    let request = Request::builder()
        .uri("/v1/namespaces/shop/secrets/pg!paid/value")
        .header("authorization", format!("Bearer {account}"));
    answered(service, request).await
}

async fn answered(service: &ProtocolService, request: axum::http::request::Builder) -> (u16, String) {
    let mut request = request.body(Body::empty()).unwrap();
    sign(request.headers_mut());
    let origin = RequestOrigin {
        peer: Peer {
            address: "10.1.2.3:4567".parse().unwrap(),
            proven: false,
        },
        connection: None,
    };
    let response = service.clone().answer(request, origin).await.response;
    let status = response.status().as_u16();
    let body = axum::body::to_bytes(response.into_body(), 1 << 16).await.unwrap();
    let problem: Json = serde_json::from_slice(&body).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

/// Reads until the rate is used up.
async fn flood(service: &ProtocolService, account: &str) {
    for _ in 0..MANY {
        let answer = read(service, account).await;
        if answer == (429, "TooManyRequests".to_owned()) {
            return;
        }
    }
    panic!("nothing is refused");
}

fn fine() -> (u16, String) {
    (200, String::new())
}

/// Requests of a caller that are under way at a listener, as many as it may have.
fn fill(scope: &ListenerScope, caller: &Arc<Caller>) -> Vec<Arc<Slot>> {
    let mut held = Vec::new();
    for number in 0..MANY {
        let [.., third, fourth] = number.to_be_bytes();
        let peer = Peer {
            address: ([127, 2, third, fourth], 1).into(),
            proven: false,
        };
        let AdmissionOutcome::Admitted(slot) = scope.capacity.admit(&peer, &Request::new(())) else {
            panic!("no room")
        };
        match scope.capacity.prove(&slot, None, caller) {
            Ok(()) => held.push(slot),
            Err(_) => return held,
        }
    }
    panic!("nothing is refused");
}

#[tokio::test]
async fn a_rate_that_is_used_up_at_one_gateway_is_whole_at_the_other() {
    let world = World::new(0).owned_by(facts());
    let dedicated = Dedicated::new(&world, "products=pg,readRate=1");
    flood(&dedicated.service, "shop/app").await;
    for _ in 0..10 {
        assert_eq!(read(&world.service, "shop/app").await, fine());
    }
    let products = vec!["pg".parse().unwrap()];
    assert_eq!(*dedicated.scope.kind(), GatewayKind::Dedicated { products });
    assert_eq!(*world.gateway.shared().kind(), GatewayKind::Shared);

    // And the reverse.
    let world = World::new(1).owned_by(facts());
    let dedicated = Dedicated::new(&world, "products=pg,readRate=0");
    flood(&world.service, "shop/app").await;
    for _ in 0..10 {
        assert_eq!(read(&dedicated.service, "shop/app").await, fine());
    }
}

#[tokio::test]
async fn all_callers_of_a_gateway_together_have_its_total_rate() {
    let world = World::new(0).owned_by(facts());
    let dedicated = Dedicated::new(&world, "products=pg,readRate=0,totalRate=1");
    flood(&dedicated.service, "shop/app").await;
    assert_eq!(
        read(&dedicated.service, "pay/other").await.0,
        429,
        "who asks is another, and the gateway is the same"
    );
    assert_eq!(read(&world.service, "shop/app").await, fine());
}

#[tokio::test]
async fn slots_that_are_held_at_one_gateway_are_free_at_the_other() {
    let world = World::new(0).owned_by(facts());
    let dedicated = Dedicated::new(&world, "products=pg,readRate=0,requests=32");
    let app = Caller::named(Identity::from_username("system:serviceaccount:shop:app"));
    let overloaded = (503, "Overloaded".to_owned());

    let held = fill(&dedicated.scope, &app);
    assert_eq!(held.len(), 4, "an eighth of them");
    assert_eq!(read(&dedicated.service, "shop/app").await, overloaded);
    assert_eq!(read(&world.service, "shop/app").await, fine());
    drop(held);

    let held = fill(world.gateway.shared(), &app);
    assert_eq!(u64::try_from(held.len()), Ok(limits::MAX_REQUESTS_PER_PRINCIPAL));
    assert_eq!(read(&world.service, "shop/app").await, overloaded);
    assert_eq!(read(&dedicated.service, "shop/app").await, fine());
}

#[tokio::test]
async fn an_address_that_failed_too_often_at_one_gateway_may_fail_at_the_other() {
    let world = World::new(0);
    let dedicated = Dedicated::new(&world, "products=pg");
    flood(&dedicated.service, "nobody").await;
    let unknown = (401, "Unauthenticated".to_owned());
    assert_eq!(read(&world.service, "nobody").await, unknown);
}

#[tokio::test]
async fn nodes_come_to_the_shared_gateway_alone() {
    let world = World::new(0);
    let dedicated = Dedicated::new(&world, "products=pg");
    let attach = || {
        Request::builder()
            .method(Method::POST)
            .uri("/strongroom.stream.v1.Delivery/Attach")
            .header("content-type", "application/grpc")
    };
    let nothing = (404, "NoSuchPath".to_owned());
    assert_eq!(answered(&dedicated.service, attach()).await, nothing);
    assert_ne!(answered(&world.service, attach()).await, nothing);
}
