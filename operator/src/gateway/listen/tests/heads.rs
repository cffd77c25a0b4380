//! Heads of requests that nobody meant.

use std::ops::Range;

use super::*;

/// How many are sent.
const HEADS: usize = 300;
/// Addresses that they come from: no failure budget is in the way.
const ADDRESSES: u8 = 20;

/// What a head has that a parser decides by.
const PIECES: [&str; 14] = [
    "\r\n",
    "\n",
    "\0",
    " ",
    ":",
    "/../",
    "%00",
    "HTTP/1.1\r\n",
    "content-length: 18446744073709551616\r\n",
    "transfer-encoding: chunked\r\n",
    "authorization: Bearer \r\n",
    "expect: 100-continue\r\n",
    "upgrade: h2c\r\nconnection: upgrade\r\n",
    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
];

fn range(random: &mut fastrand::Rng, length: usize) -> Range<usize> {
    let (one, other) = (random.usize(..=length), random.usize(..=length));
    one.min(other)..one.max(other)
}

fn changed(random: &mut fastrand::Rng, head: &[u8]) -> Vec<u8> {
    let mut head = head.to_vec();
    for _ in 0..random.usize(1..=4) {
        let place = random.usize(..=head.len());
        match random.u8(..4) {
            0 => drop(head.splice(place..place, random.choice(PIECES).unwrap().bytes())),
            1 if place < head.len() => head[place] = random.u8(..),
            2 => drop(head.drain(range(random, head.len()))),
            _ => {
                let again = head[range(random, head.len())].to_vec();
                drop(head.splice(place..place, again));
            }
        }
    }
    head
}

#[tokio::test(flavor = "multi_thread")]
async fn heads_of_anything_end_with_an_error_and_the_port_goes_on() {
    let port = Port::open().await;
    let seed = std::env::var("STRONGROOM_FUZZ_SEED")
        .map_or_else(|_| fastrand::u64(..), |seed| seed.parse().unwrap());
    let mut random = fastrand::Rng::with_seed(seed);
    let good = "GET /v1/namespaces/shop/secrets/db-main/value?stage=Current HTTP/1.1\r\nhost: localhost\r\n\
                authorization: Bearer nobody\r\nif-none-match: \"a\"\r\naccept: */*\r\n\r\n";
    for number in 0..HEADS {
        let head = changed(&mut random, good.as_bytes());
        let host = 10 + u8::try_from(number % usize::from(ADDRESSES)).unwrap();
        let mut stream = port.connect_from(host, b"http/1.1").await.unwrap();
        // The other side may have enough before all is written.
        let _ = stream.write_all(&head).await;
        let _ = stream.shutdown().await;
        let answer = rest(&mut stream).await;
        // What nobody has to say who it is for, health and the document, is answered.
        let is_fault = answer.starts_with("HTTP/1.1 5") && !answer.starts_with("HTTP/1.1 505");
        let is_shown = answer.contains("s3cr3t") || answer.contains(&data_encoding::BASE64.encode(b"s3cr3t"));
        assert!(
            !is_fault && !is_shown,
            "STRONGROOM_FUZZ_SEED={seed}: {:?} is answered with {answer}",
            String::from_utf8_lossy(&head)
        );
    }
    assert_eq!(port.get().await, Ok(StatusCode::OK));
    port.close().await;
}
