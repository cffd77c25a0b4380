//! Frames of HTTP/2 that no client sends who means well.

use strongroom_testing::wait::until;

use super::*;

const HEADERS: u8 = 1;
const SETTINGS: u8 = 4;
/// Ignored wherever it comes (RFC 9113 section 5.5).
const UNKNOWN: u8 = 0xfa;
const END_STREAM: u8 = 1;
const END_HEADERS: u8 = 4;

/// `POST https://localhost/`: three fields of the static table of HPACK, and the authority.
const REQUEST: &[u8] = b"\x83\x87\x84\x01\x09localhost";
/// `a: b`, without a place in the table.
const TRAILERS: &[u8] = b"\x00\x01a\x01b";

fn frame(kind: u8, flags: u8, stream: u32, payload: &[u8]) -> Vec<u8> {
    let mut frame = u32::try_from(payload.len()).unwrap().to_be_bytes()[1..].to_vec();
    frame.extend([kind, flags]);
    frame.extend(stream.to_be_bytes());
    frame.extend(payload);
    frame
}

/// A port where every request waits for its answer.
async fn silent_port() -> Port {
    let router = axum::Router::new().fallback(async || {
        std::future::pending::<()>().await;
        "never"
    });
    Port::serving(World::new(0), router).await
}

/// A connection from 127.0.0.`host` that has said nothing yet but that it speaks HTTP/2.
async fn begin(port: &Port, host: u8) -> TlsStream<TcpStream> {
    let mut stream = port.connect_from(host, b"h2").await.unwrap();
    let mut bytes = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec();
    bytes.extend(frame(SETTINGS, 0, 0, &[]));
    stream.write_all(&bytes).await.unwrap();
    stream
}

/// This connection ends, and its address has everything again.
async fn ends(port: &Port, mut stream: TlsStream<TcpStream>) {
    rest(&mut stream).await;
    drop(stream);
    until("memory to be given back", || {
        port.world.admission.memory().in_use() == 0
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn trailers_count_for_what_they_may_hold() {
    let port = silent_port().await;
    let mut stream = begin(&port, 3).await;
    // Some two KiB of them.
    for number in 0..100 {
        let id = 2 * number + 1;
        let mut frames = frame(HEADERS, END_HEADERS, id, REQUEST);
        frames.extend(frame(HEADERS, END_HEADERS | END_STREAM, id, TRAILERS));
        if stream.write_all(&frames).await.is_err() {
            break;
        }
    }
    ends(&port, stream).await;
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stranger_who_sends_without_end_is_hung_up_on_while_a_request_is_under_way() {
    let port = silent_port().await;
    let mut stream = begin(&port, 3).await;
    let begun = frame(HEADERS, END_HEADERS, 1, REQUEST);
    stream.write_all(&begun).await.unwrap();
    let nothing = frame(UNKNOWN, 0, 0, &[0; 16_000]);
    for _ in 0..400 {
        if stream.write_all(&nothing).await.is_err() {
            break;
        }
    }
    ends(&port, stream).await;
    port.close().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_stream_counts_before_much_has_come() {
    let port = silent_port().await;
    let mut stream = begin(&port, 3).await;
    for number in 0..limits::HTTP2_STREAMS {
        let opened = frame(HEADERS, END_HEADERS | END_STREAM, 2 * number + 1, REQUEST);
        stream.write_all(&opened).await.unwrap();
    }
    // Its own amount, and more than a KiB for each stream; more than what has come accounts for.
    until("streams to count", || {
        port.world.admission.memory().in_use() > (48 + 160) << 10
    })
    .await;
    drop(stream);
    until("memory to be given back", || {
        port.world.admission.memory().in_use() == 0
    })
    .await;
    port.close().await;
}
