//! What strangers, and callers who want everything, try with connections, heads, bodies and answers; and that
//! nobody else notices.

use axum::body::Bytes;
use futures::StreamExt;
use hyper::body::Incoming;
use hyper::client::conn::http2::SendRequest;
use prost::Message as _;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{GatewayMessage, Hello, NodeMessage, gateway_message};
use strongroom_rules::policy::Identity;
use strongroom_testing::wait::until;

use super::*;
use crate::gateway::authenticate::Caller;

/// Short enough that nobody waits for it, and long enough for an answer.
const SHORT: Duration = Duration::from_millis(500);

impl Port {
    /// Whose patience with this ends soon.
    async fn impatient(change: impl FnOnce(&mut ConnectionTimeouts)) -> Self {
        let world = World::new(0);
        world.allow("p", "app", "*", "*");
        let service = world.service.clone();
        let mut timeouts = ConnectionTimeouts::default();
        change(&mut timeouts);
        Self::with_timeouts(world, service, timeouts).await
    }

    /// A connection of HTTP/2 from 127.0.0.`host`, whose streams have this window.
    async fn second(
        &self,
        host: u8,
        window: u32,
    ) -> (SendRequest<Body>, tokio::task::JoinHandle<hyper::Result<()>>) {
        let stream = self.connect_from(host, b"h2").await.unwrap();
        let mut builder = hyper::client::conn::http2::Builder::new(TokioExecutor::new());
        builder.initial_stream_window_size(window);
        let (sender, connection) = builder.handshake(TokioIo::new(stream)).await.unwrap();
        (sender, tokio::spawn(connection))
    }

    /// What an account is answered that reads from 127.0.0.`host`.
    async fn read(&self, host: u8, account: &str) -> StatusCode {
        let (mut sender, connection) = self.second(host, 1 << 16).await;
        let answer = sender
            .send_request(authenticated(account, request()))
            .await
            .unwrap();
        let status = answer.status();
        answer.into_body().collect().await.unwrap();
        connection.abort();
        status
    }
}

fn authenticated(account: &str, mut request: Request<Body>) -> Request<Body> {
    let bearer = format!("Bearer {}", token(account)).parse().unwrap();
    request.headers_mut().insert("authorization", bearer);
    request
}

/// A body that begins like this and never ends.
fn endless(begin: Vec<u8>) -> Body {
    let begin = futures::stream::iter([Ok::<_, std::io::Error>(Bytes::from(begin))]);
    Body::from_stream(begin.chain(futures::stream::pending()))
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_nothing_after_the_handshake_or_half_a_head_is_hung_up_on() {
    let port = Port::impatient(|timeouts| (timeouts.silence, timeouts.head) = (SHORT, SHORT)).await;
    // One who has proven who it is, and is quiet as well.
    let quiet = port.connect(b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(quiet))
        .await
        .unwrap();
    tokio::spawn(connection);
    let answer = sender.send_request(request()).await.unwrap();
    answer.into_body().collect().await.unwrap();

    for protocol in [&b"h2"[..], b"http/1.1"] {
        let mut silent = port.connect(protocol).await.unwrap();
        rest(&mut silent).await;
    }
    let mut half = port.connect(b"http/1.1").await.unwrap();
    half.write_all(b"GET /healthz HTTP/1.1\r\nhost: loc")
        .await
        .unwrap();
    assert_eq!(rest(&mut half).await, "");
    let mut half = port.connect(b"h2").await.unwrap();
    half.write_all(b"PRI * HTTP/2.0\r\n\r\nSM").await.unwrap();
    rest(&mut half).await;

    sender.ready().await.unwrap();
    assert_eq!(sender.send_request(request()).await.unwrap().status(), 200);
    until("memory to be given back", || {
        port.world.admission.memory().in_use() == 0
    })
    .await;
    drop(sender);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_address_has_so_many_connections_of_strangers_and_no_other_has_fewer() {
    let port = Port::open().await;
    let mut held = Vec::new();
    // Connections that are refused end during the handshake or at once after it.
    for _ in 0..200 {
        held.push(TcpStream::connect(port.address).await.unwrap());
    }
    until("memory to be taken", || {
        port.world.admission.memory().in_use() > (3 << 20)
    })
    .await;
    assert!(port.connect(b"http/1.1").await.is_err());
    assert!(port.world.admission.memory().in_use() <= (64 << 20) / 20);
    assert_eq!(port.read(2, "shop/app").await, 200);
    drop(held);
    until("memory to be given back", || {
        port.world.admission.memory().in_use() == 0
    })
    .await;
    assert_eq!(port.get().await, Ok(StatusCode::OK));
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_that_nobody_takes_end_and_give_their_room_back() {
    let port = Port::impatient(|timeouts| timeouts.answer = SHORT).await;
    let (mut sender, connection) = port.second(1, 0).await;
    let mut unread: Vec<http::Response<Incoming>> = Vec::new();
    for _ in 0..50 {
        sender.ready().await.unwrap();
        let answer = within(sender.send_request(request())).await.unwrap();
        assert_eq!(answer.status(), 200);
        unread.push(answer);
    }
    assert_eq!(port.world.gateway.shared().capacity.in_use(), 50);
    // This side ends the connection, and everything of it goes.
    let _ = within(connection).await.unwrap();
    until("requests to end", || {
        port.world.gateway.shared().capacity.in_use() == 0
    })
    .await;
    assert_eq!(port.read(2, "shop/app").await, 200);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn bodies_that_do_not_come_take_the_room_of_their_sender_alone() {
    let port = Port::open().await;
    let (mut senders, mut asked) = (Vec::new(), Vec::new());
    for host in 3..11 {
        let (sender, _connection) = port.second(host, 1 << 16).await;
        for _ in 0..128 {
            let slow = Request::post("https://localhost/v1/namespaces/shop/secrets:batchGet")
                .header("content-type", "application/json")
                .header("content-length", "100")
                .body(endless(b"{".to_vec()))
                .unwrap();
            let mut sender = sender.clone();
            asked.push(tokio::spawn(async move {
                sender.ready().await.unwrap();
                sender.send_request(authenticated("shop/greedy", slow)).await
            }));
        }
        senders.push(sender);
    }
    until("requests to begin", || {
        port.world.gateway.shared().capacity.in_use() == limits::MAX_REQUESTS_PER_PRINCIPAL
    })
    .await;
    for _ in 0..10 {
        assert_eq!(port.read(2, "shop/app").await, 200);
    }
    for asked in asked {
        asked.abort();
    }
    drop(senders);
    port.close().await;
}

/// The path of the stream to nodes, with this body.
fn attach(body: Body) -> Request<Body> {
    Request::post("https://localhost/strongroom.stream.v1.Delivery/Attach")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(body)
        .unwrap()
}

fn hello(token: &str) -> Vec<u8> {
    let mut hello = Hello::default();
    hello.protocol_versions = vec![1];
    token.clone_into(&mut hello.token);
    let message = NodeMessage {
        message: Some(FromNode::Hello(hello)),
    };
    let message = message.encode_to_vec();
    let mut bytes = vec![0];
    bytes.extend(u32::try_from(message.len()).unwrap().to_be_bytes());
    bytes.extend(message);
    bytes
}

/// The first message of an answer.
async fn first(answer: http::Response<Incoming>) -> Option<gateway_message::Message> {
    let mut body = answer.into_body().into_data_stream();
    let piece = within(body.next()).await?.unwrap();
    GatewayMessage::decode(&piece[5..]).unwrap().message
}

#[tokio::test(flavor = "multi_thread")]
async fn halves_of_hellos_take_little_and_a_node_attaches_meanwhile() {
    let port = Port::open().await;
    let (mut senders, mut asked) = (Vec::new(), Vec::new());
    for _ in 0..5 {
        senders.push(port.second(3, 1 << 16).await.0);
    }
    for sender in &senders {
        for _ in 0..120 {
            let mut half = vec![0];
            half.extend(60_000_u32.to_be_bytes());
            half.resize(50_000, 7);
            let mut sender = sender.clone();
            asked.push(tokio::spawn(async move {
                sender.ready().await?;
                sender.send_request(attach(endless(half))).await
            }));
        }
    }
    let nodes = || port.world.gateway.shared().capacity.nodes_in_use();
    for (host, in_metadata) in [(4, true), (5, false)] {
        let (mut sender, _connection) = port.second(host, 1 << 16).await;
        let plugin = format!("strongroom/node/plugin-{host}@n-{host}");
        let request = if in_metadata {
            authenticated(&plugin, attach(endless(hello(""))))
        } else {
            attach(endless(hello(&token(&plugin))))
        };
        let answer = within(sender.send_request(request)).await.unwrap();
        let welcome = first(answer).await.unwrap();
        assert!(
            matches!(welcome, gateway_message::Message::Welcome(_)),
            "{welcome:?}"
        );
        assert!(port.world.admission.memory().in_use() <= (64 << 20) / 20);
    }
    until("streams to end", || nodes() == 0).await;
    // One whose token is nobody's is told so before its Hello is there.
    let (mut sender, _connection) = port.second(6, 1 << 16).await;
    let nobody = authenticated("shop/app/pod@n-1", attach(endless(Vec::new())));
    let answer = within(sender.send_request(nobody)).await.unwrap();
    assert_eq!(answer.headers()["grpc-status"], "7");
    // One whose first message is too large is told so before it is.
    let large = attach(endless(vec![0, 0, 1, 0, 1]));
    let answer = within(sender.send_request(large)).await.unwrap();
    let trailers = within(answer.into_body().collect()).await.unwrap();
    let status = trailers.trailers().unwrap()["grpc-status"].clone();
    assert_ne!(status, "0");
    for asked in asked {
        asked.abort();
    }
    drop(senders);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn there_is_a_stream_to_nodes_only_where_there_are_nodes() {
    let world = World::without_nodes();
    let service = world.service.clone();
    let port = Port::serving(world, service).await;
    let (mut sender, _connection) = port.second(1, 1 << 16).await;
    let answer = within(sender.send_request(attach(endless(Vec::new()))))
        .await
        .unwrap();
    assert_eq!(answer.status(), 404);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_proven_who_it_is_may_send_as_much_as_it_likes() {
    let port = Port::open().await;
    let (mut sender, _connection) = port.second(1, 1 << 16).await;
    // Twice what its address has room for while nobody has.
    for _ in 0..40 {
        let large = Request::post("https://localhost/v1/namespaces/shop/secrets:batchGet")
            .header("content-type", "application/json")
            .body(Body::from(vec![b' '; limits::MAX_BODY_BYTES]))
            .unwrap();
        sender.ready().await.unwrap();
        let answer = within(sender.send_request(authenticated("shop/app", large))).await;
        let answer = answer.unwrap();
        assert_eq!(answer.status(), 400, "nothing but spaces is no JSON");
        answer.into_body().collect().await.unwrap();
    }
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_proven_who_it_is_is_no_stranger_any_more() {
    let port = Port::open().await;
    let (mut sender, _connection) = port.second(1, 1 << 16).await;
    until("memory to be taken", || {
        port.world.admission.memory().in_use() > 0
    })
    .await;
    let answer = sender.send_request(request()).await.unwrap();
    answer.into_body().collect().await.unwrap();
    assert_eq!(port.world.admission.memory().in_use(), 0);
    until("requests to end", || {
        port.world.gateway.shared().capacity.in_use() == 0
    })
    .await;
    let app = Caller::named(Identity::from_username("system:serviceaccount:shop:app"));
    assert_eq!(port.world.gateway.shared().capacity.connections_of(&app), 1);
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_room_is_told_so_and_its_connection_ends() {
    let port = Port::open().await;
    let stream = port.connect_from(7, b"http/1.1").await.unwrap();
    let (mut sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
        .await
        .unwrap();
    let connection = tokio::spawn(connection);
    // Nearly all that the address may have: a head has room, and its request has none.
    let (memory, address) = (port.world.admission.memory(), [127, 0, 0, 7].into());
    let limit = port.world.admission.memory_limit(address);
    let rest = limit - memory.in_use_of(&address) - (2 << 10);
    let held = memory.take_within(limit, address, rest).unwrap();
    let answer = sender.send_request(request()).await.unwrap();
    assert_eq!(answer.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(answer.headers()["connection"], "close");
    assert!(answer.headers().contains_key("x-request-id") && answer.headers().contains_key("retry-after"));
    let body = answer.into_body().collect().await.unwrap().to_bytes();
    let problem: serde_json::Value = serde_json::from_slice(&body).unwrap();
    assert_eq!(problem["code"], "Overloaded");
    let detail = problem["detail"].as_str().unwrap();
    assert!(detail.contains("of your address"), "{detail}");
    within(connection).await.unwrap().unwrap();
    drop(held);
    port.close().await;
}
