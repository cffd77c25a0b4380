//! One notice: a POST without a body, at most three attempts of one second each.
//!
//! It stands on hyper's connection and not on the client of `strongroom-process`: a pod is called once and no
//! connection to it is kept, the head of its answer has a bound, and nothing behind that is read.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, HOST, USER_AGENT};
use http::{Request, StatusCode};
use http_body_util::Empty;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use strongroom_render::attributes::NotifyTarget;
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

/// How long a try may take, from the connection to the answer's head.
const ATTEMPT_TIMEOUT: Duration = Duration::from_secs(1);
/// Before the second try, and before the third.
const RETRY_DELAYS: [Duration; 2] = [Duration::from_millis(200), Duration::from_secs(1)];
/// Largest head of an answer, in bytes.
const MAX_HEAD_BYTES: usize = 16_384;

/// What came of a notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PostOutcome {
    /// It was answered with success.
    Delivered(StatusCode),
    /// Nobody listens, or the connection broke.
    Refused,
    /// No answer in time.
    TimedOut,
    /// It was answered with something else; a redirect is something else.
    Status(StatusCode),
}

impl PostOutcome {
    /// A word for the metric.
    #[must_use]
    pub const fn word(self) -> &'static str {
        match self {
            Self::Delivered(_) => "delivered",
            Self::Refused => "refused",
            Self::TimedOut => "timed_out",
            Self::Status(_) => "status",
        }
    }

    /// Whether another try may come to something else.
    fn is_retryable(self) -> bool {
        match self {
            Self::Delivered(_) => false,
            Self::Refused | Self::TimedOut => true,
            Self::Status(status) => status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        }
    }
}

/// The tries of one notice. An address may be another pod's by the next one: whoever tries looks it up before
/// each.
#[derive(Debug)]
pub struct Retries(std::array::IntoIter<Duration, 2>);

impl Default for Retries {
    fn default() -> Self {
        Self(RETRY_DELAYS.into_iter())
    }
}

impl Retries {
    /// Whether there is another try after this outcome; then it is time for it.
    pub async fn wait_for_retry(&mut self, outcome: PostOutcome) -> bool {
        match self.0.next().filter(|_| outcome.is_retryable()) {
            Some(pause) => {
                sleep(pause).await;
                true
            }
            None => false,
        }
    }
}

/// Tells the pod at an address, once.
pub async fn post(address: IpAddr, notify: &NotifyTarget) -> PostOutcome {
    once(SocketAddr::new(address, notify.port.get()), &notify.path).await
}

async fn once(to: SocketAddr, path: &str) -> PostOutcome {
    match timeout(ATTEMPT_TIMEOUT, answer(to, path)).await {
        Ok(Some(status)) if status.is_success() => PostOutcome::Delivered(status),
        Ok(Some(status)) => PostOutcome::Status(status),
        Ok(None) => PostOutcome::Refused,
        Err(_) => PostOutcome::TimedOut,
    }
}

/// The status of the answer. What follows it is not read: the connection ends with this.
async fn answer(to: SocketAddr, path: &str) -> Option<StatusCode> {
    let stream = TcpStream::connect(to).await.ok()?;
    let request = Request::post(path)
        .header(HOST, to.to_string())
        .header(USER_AGENT, concat!("strongroom-node/", env!("CARGO_PKG_VERSION")))
        .header(CONTENT_LENGTH, 0)
        .body(Empty::<Bytes>::new())
        .ok()?;
    let (mut sender, connection) = http1::Builder::new()
        .max_buf_size(MAX_HEAD_BYTES)
        .handshake(TokioIo::new(stream))
        .await
        .ok()?;
    let send = sender.send_request(request);
    tokio::pin!(connection, send);
    tokio::select! {
        answer = &mut send => answer.ok().map(|answer| answer.status()),
        // It also ends where the answer has come at once.
        _ = &mut connection => send.await.ok().map(|answer| answer.status()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicUsize, Ordering};

    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    use tokio::net::TcpListener;

    use super::*;

    /// A server that says one thing to everybody, or nothing. Answers where it is, and what it heard last and
    /// how often.
    async fn server(says: &'static str) -> (NotifyTarget, Arc<AtomicUsize>, Arc<parking_lot::Mutex<String>>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port().try_into().unwrap();
        let (count, heard) = (Arc::new(AtomicUsize::new(0)), Arc::default());
        let (counts, hears) = (
            Arc::clone(&count),
            Arc::<parking_lot::Mutex<String>>::clone(&heard),
        );
        tokio::spawn(async move {
            let mut held = Vec::new();
            loop {
                let (mut stream, _) = listener.accept().await.unwrap();
                counts.fetch_add(1, Ordering::SeqCst);
                let mut head = vec![0; 1_024];
                let read = stream.read(&mut head).await.unwrap();
                *hears.lock() = String::from_utf8_lossy(&head[..read]).into_owned();
                if says.is_empty() {
                    held.push(stream);
                } else {
                    stream.write_all(says.as_bytes()).await.unwrap();
                }
            }
        });
        let notify = NotifyTarget {
            port,
            path: "/-/reload".to_owned(),
        };
        (notify, count, heard)
    }

    /// All tries, at one place.
    async fn all(address: IpAddr, notify: &NotifyTarget) -> PostOutcome {
        let mut tries = Retries::default();
        loop {
            let outcome = post(address, notify).await;
            if !tries.wait_for_retry(outcome).await {
                return outcome;
            }
        }
    }

    const HERE: IpAddr = IpAddr::V4(std::net::Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn it_is_a_post_without_a_body_and_success_is_said_once() {
        let (notify, count, heard) = server("HTTP/1.1 204 No Content\r\n\r\n").await;
        assert_eq!(
            all(HERE, &notify).await,
            PostOutcome::Delivered(StatusCode::NO_CONTENT)
        );
        assert_eq!(count.load(Ordering::SeqCst), 1);
        let heard = heard.lock().clone();
        assert!(heard.starts_with("POST /-/reload HTTP/1.1\r\n"), "{heard}");
        assert!(
            heard.contains("content-length: 0\r\n") && heard.ends_with("\r\n\r\n"),
            "{heard}"
        );
    }

    #[tokio::test]
    async fn a_redirect_is_not_followed_and_only_what_may_pass_is_tried_again() {
        for (says, status, tries) in [
            (
                "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
                302,
                1,
            ),
            ("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, 1),
            ("HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", 503, 3),
        ] {
            let (notify, count, _) = server(says).await;
            let expected = PostOutcome::Status(StatusCode::from_u16(status).unwrap());
            assert_eq!(all(HERE, &notify).await, expected);
            assert_eq!(count.load(Ordering::SeqCst), tries, "{status}");
        }
    }

    #[tokio::test]
    async fn silence_and_refusal_end_after_three_tries() {
        let (notify, count, _) = server("").await;
        assert_eq!(all(HERE, &notify).await, PostOutcome::TimedOut);
        assert_eq!(count.load(Ordering::SeqCst), 3);
        let (notify, count, _) = server("this is not HTTP\r\n\r\n").await;
        assert_eq!(all(HERE, &notify).await, PostOutcome::Refused);
        assert_eq!(count.load(Ordering::SeqCst), 3);
        let closed = {
            let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
            let port = listener.local_addr().unwrap().port().try_into().unwrap();
            NotifyTarget { port, ..notify }
        };
        assert_eq!(all(HERE, &closed).await, PostOutcome::Refused);
    }
}
