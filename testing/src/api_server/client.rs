//! The connection: requests of a `kube::Client` become [`ApiRequest`]s, and answers and events its responses.

use std::io;
use std::task::{Context, Poll};

use bytes::Bytes;
use futures::future::BoxFuture;
use futures::{StreamExt, stream};
use http::{HeaderMap, Request, Response, header};
use http_body::Frame;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, StreamBody};
use kube::Client;
use kube::client::Body;

use super::answer::listed;
use super::objects::Change;
use super::request::ApiRequest;
use super::server::{ApiServer, NS};

impl ApiServer {
    /// A client of it, whose namespace is that of the tests.
    pub fn client(&self) -> Client {
        Client::new(Connection(self.clone()), NS)
    }
}

#[derive(Clone)]
struct Connection(ApiServer);

type Answer = Response<UnsyncBoxBody<Bytes, io::Error>>;

impl Connection {
    async fn answer(self, request: Request<Body>) -> io::Result<Answer> {
        let (parts, body) = request.into_parts();
        let body = body.collect_bytes().await.map_err(io::Error::other)?;
        let request = ApiRequest::new(parts.method, &parts.uri, &body);
        let metadata = text(&parts.headers, header::ACCEPT).contains("PartialObjectMetadata");
        let (status, answer) = if let Some(scripted) = self.0.scripted(&request) {
            scripted.await?
        } else if request.query.contains("watch=true") {
            let events = self.0.watch(&request, metadata);
            let lines = events.map(|event| Ok(Frame::data(Bytes::from(format!("{event}\n")))));
            return Ok(Response::new(StreamBody::new(lines).boxed_unsync()));
        } else {
            let change = match text(&parts.headers, header::CONTENT_TYPE) {
                kind if kind.contains("merge-patch") => Change::Merge,
                kind if kind.contains("apply-patch") => Change::Apply,
                _ => Change::Other,
            };
            let answer = self.0.answer(&request, change, &request.field_manager());
            listed(&request, metadata, answer)
        };
        let frame = stream::iter([Ok(Frame::data(Bytes::from(answer.to_string())))]);
        let response = Response::builder().status(status);
        Ok(response.body(StreamBody::new(frame).boxed_unsync()).unwrap())
    }
}

fn text(headers: &HeaderMap, name: header::HeaderName) -> &str {
    headers.get(name).map_or("", |value| value.to_str().unwrap())
}

impl tower::Service<Request<Body>> for Connection {
    type Response = Answer;
    type Error = io::Error;
    type Future = BoxFuture<'static, io::Result<Answer>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        Box::pin(self.clone().answer(request))
    }
}
