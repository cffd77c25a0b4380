//! Routes from path and method to handler. The table is built once for each listener; a request looks its
//! route up without copying it.
//!
//! Must not know what a route leads to: that is a function from a request to one boxed future.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use axum::body::Body;
use axum::http::{HeaderValue, Method, Request, Response};
use futures::future::BoxFuture;
use percent_encoding::percent_decode_str;

use crate::gateway::listener_name::ListenerName;
use crate::gateway::metrics::OperationMetrics;
use crate::gateway::problem::{Problem, invalid};
use crate::gateway::request::RequestScope;
use crate::gateway::state::Gateway;

/// A request as its route takes it.
pub(super) struct RoutedRequest {
    pub(super) gateway: Arc<Gateway>,
    pub(super) scope: RequestScope,
    pub(super) request: Request<Body>,
    /// The path parameters, in their order; or why they cannot be decoded, which only an authenticated caller
    /// is told.
    pub(super) path: Result<Vec<String>, Problem>,
}

/// What a request comes to.
pub(super) type RouteFuture = BoxFuture<'static, Result<Response<Body>, Problem>>;

type RouteHandler = Box<dyn Fn(RoutedRequest) -> RouteFuture + Send + Sync>;

/// One method of one path.
pub(super) struct Route {
    called: OperationMetrics,
    handler: RouteHandler,
}

impl Route {
    /// Where it is counted.
    pub(super) const fn called(&self) -> &OperationMetrics {
        &self.called
    }

    /// What becomes of a request.
    pub(super) fn run(&self, request: RoutedRequest) -> RouteFuture {
        (self.handler)(request)
    }
}

/// What a path has.
#[derive(Default)]
struct PathRoutes {
    by_method: Vec<(Method, Route)>,
    /// Of every method that has none of its own.
    any: Option<Route>,
    /// The methods, as a header tells them.
    allowed: Option<HeaderValue>,
}

/// A table that is being made.
pub(super) struct RouteTableBuilder {
    /// Where its requests come in.
    listener: ListenerName,
    paths: BTreeMap<&'static str, PathRoutes>,
}

impl RouteTableBuilder {
    /// Of what is served at this listener.
    pub(super) fn new(listener: &ListenerName) -> Self {
        Self {
            listener: listener.clone(),
            paths: BTreeMap::new(),
        }
    }

    /// A method of a path, which is counted as this operation.
    pub(super) fn on(
        &mut self,
        method: Method,
        path: &'static str,
        operation: &'static str,
        handler: impl Fn(RoutedRequest) -> RouteFuture + Send + Sync + 'static,
    ) {
        let route = Route {
            called: OperationMetrics::new(self.listener.clone(), operation),
            handler: Box::new(handler),
        };
        self.paths
            .entry(path)
            .or_default()
            .by_method
            .push((method, route));
    }

    /// Every method of a path.
    pub(super) fn any(
        &mut self,
        path: &'static str,
        handler: impl Fn(RoutedRequest) -> RouteFuture + Send + Sync + 'static,
    ) {
        self.paths.entry(path).or_default().any = Some(Route {
            called: OperationMetrics::other(self.listener.clone()),
            handler: Box::new(handler),
        });
    }

    /// The table, which tells of each path the methods that it has.
    pub(super) fn build(self) -> RouteTable {
        let mut paths = matchit::Router::new();
        for (path, mut routes) in self.paths {
            routes.allowed = allowed(&routes.by_method);
            if let Err(error) = paths.insert(path, routes) {
                // Paths are constants, and the tests of the table come along each of them.
                tracing::error!(path, %error, "route left out, path conflicts with another one");
            }
        }
        RouteTable {
            paths,
            other: OperationMetrics::other(self.listener),
        }
    }
}

/// The methods of a path as `Allow` has them (RFC 9110 section 10.2.1): whoever may GET may HEAD.
fn allowed(routes: &[(Method, Route)]) -> Option<HeaderValue> {
    let names = routes.iter().map(|(method, _)| match *method {
        Method::GET => "GET,HEAD",
        ref other => other.as_str(),
    });
    HeaderValue::try_from(names.collect::<Vec<_>>().join(",")).ok()
}

/// All routes of a protocol.
pub(super) struct RouteTable {
    paths: matchit::Router<PathRoutes>,
    other: OperationMetrics,
}

/// Where a request goes, and what its path says.
pub(super) struct FoundRoute<'a> {
    pub(super) route: &'a Route,
    pub(super) path: Result<Vec<String>, Problem>,
}

/// Why a request goes nowhere.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum NoRoute {
    /// There is no such path.
    Path,
    /// The path has no such method; those that it has.
    Method(Option<HeaderValue>),
}

impl RouteTable {
    /// Where requests are counted that no operation is called by.
    pub(super) const fn other(&self) -> &OperationMetrics {
        &self.other
    }

    /// Where a request of this method and path goes.
    pub(super) fn find(&self, method: &Method, path: &str) -> Result<FoundRoute<'_>, NoRoute> {
        let found = self.paths.at(path).map_err(|_| NoRoute::Path)?;
        let routes = found.value;
        let fits = |known: &Method| known == method || (*method == Method::HEAD && *known == Method::GET);
        let of_method = routes.by_method.iter().find(|(known, _)| fits(known));
        let route = of_method.map(|(_, route)| route).or(routes.any.as_ref());
        let route = route.ok_or_else(|| NoRoute::Method(routes.allowed.clone()))?;
        let path = found.params.iter().map(decoded).collect();
        Ok(FoundRoute { route, path })
    }
}

/// A part of a path as its text.
fn decoded((name, part): (&str, &str)) -> Result<String, Problem> {
    let text = percent_decode_str(part).decode_utf8().map(Cow::into_owned);
    text.map_err(|_| invalid(format!("the path is not UTF-8 at `{name}`")))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table() -> RouteTable {
        let handler = |_: RoutedRequest| -> RouteFuture { Box::pin(async { Ok(Response::default()) }) };
        let mut table = RouteTableBuilder::new(&ListenerName::default());
        table.on(Method::GET, "/v1/{namespace}/secrets", "ListSecrets", handler);
        table.on(Method::POST, "/v1/{namespace}/secrets", "CreateSecret", handler);
        table.on(
            Method::POST,
            "/v1/{namespace}/secrets:batchGet",
            "BatchGetSecretValue",
            handler,
        );
        table.on(
            Method::GET,
            "/v1/{namespace}/secrets/{name}",
            "DescribeSecret",
            handler,
        );
        table.any("/attach", handler);
        table.build()
    }

    #[test]
    fn a_request_finds_its_route_and_what_its_path_says() {
        let table = table();
        let cases: [(Method, &str, &str, &[&str]); 6] = [
            (Method::GET, "/v1/shop/secrets", "ListSecrets", &["shop"]),
            (Method::HEAD, "/v1/shop/secrets", "ListSecrets", &["shop"]),
            (Method::POST, "/v1/shop/secrets", "CreateSecret", &["shop"]),
            (
                Method::POST,
                "/v1/shop/secrets:batchGet",
                "BatchGetSecretValue",
                &["shop"],
            ),
            (
                Method::GET,
                "/v1/shop/secrets/team%2Fdb%21",
                "DescribeSecret",
                &["shop", "team/db!"],
            ),
            (Method::PATCH, "/attach", "other", &[]),
        ];
        for (method, path, operation, parts) in cases {
            let found = table.find(&method, path).ok().unwrap();
            assert_eq!(found.route.called().operation(), operation, "{method} {path}");
            assert_eq!(found.path.unwrap(), parts, "{method} {path}");
        }
    }

    #[test]
    fn what_has_no_route_is_told_why() {
        let table = table();
        let refused = |method: Method, path: &str| table.find(&method, path).err();
        for path in [
            "/",
            "/v1",
            "/v1/shop/secrets/",
            "/v1/shop/secrets/a/b",
            "/attach/",
        ] {
            assert_eq!(refused(Method::GET, path), Some(NoRoute::Path), "{path}");
        }
        let methods = |text| Some(NoRoute::Method(Some(HeaderValue::from_static(text))));
        assert_eq!(refused(Method::PUT, "/v1/shop/secrets"), methods("GET,HEAD,POST"));
        assert_eq!(
            refused(Method::HEAD, "/v1/shop/secrets:batchGet"),
            methods("POST")
        );
        let found = table.find(&Method::GET, "/v1/shop/secrets/%ff").ok().unwrap();
        let problem = found.path.unwrap_err();
        assert!(problem.detail().contains("`name`"), "{problem:?}");
    }
}
