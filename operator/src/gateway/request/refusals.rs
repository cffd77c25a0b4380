//! What is refused, told apart by what it is, whose share is used up, and why; for Prometheus.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;

use super::share::ShareExhausted;
use crate::gateway::listener_name::ListenerName;

strongroom_process::metrics! {
    /// Counters of the port.
    #[derive(Clone)]
    pub(crate) struct RefusalMetrics {
        /// What the gateway refused: the `listener` (`shared`, or the name of a dedicated gateway), `what`
        /// (`connection`, `request`, `watch`, `node`, `review`), `who`, whose share was used up or who was
        /// refused (`address`, `unauthenticated`, `principal`, `namespace`, `everybody`, `extension_api`,
        /// `node`, `nodes`), and `why` (`share`, `failures`, `no_token`, `token`, `not_a_node`,
        /// `service_account`, `late`, `rate`). At most 320 series a listener.
        refused: Family<RefusedLabels, Counter> = "gateway_refused",
        /// Connections that the gateway ended, by `listener` and `why`: `silence`, `idle`, `slow_handshake`,
        /// `slow_head`, `answer_not_taken`, `share`.
        ended: Family<EndedLabels, Counter> = "gateway_connections_ended",
        /// Tokens that the API server was asked about.
        tokenreviews: Counter = "gateway_tokenreviews",
        /// Streams of node plugins of an earlier version, which send their token in the first message: 0 once
        /// all plugins are replaced.
        nodes_with_token_in_hello: Gauge = "gateway_nodes_with_token_in_hello",
        /// Bytes that connections without a proven caller count for, updated once a minute.
        unauthenticated_bytes: Gauge = "gateway_unauthenticated_bytes",
        /// Where it happens.
        listener: ListenerName,
    }
}

strongroom_process::labels! {
    struct RefusedLabels {
        listener: ListenerName,
        what: &'static str,
        who: &'static str,
        why: &'static str,
    }

    struct EndedLabels {
        listener: ListenerName,
        why: &'static str,
    }
}

/// What is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum LimitedResource {
    /// A TCP connection.
    Connection,
    /// One HTTP request.
    Request,
    /// A stream of changes.
    Watch,
    /// A node's stream.
    Node,
    /// The review of a token.
    Review,
}

/// Whose share is used up, or who is refused for another reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum LimitScope {
    /// An address's.
    Address,
    /// That of all addresses without a proven caller.
    Unauthenticated,
    /// A principal's.
    Principal,
    /// A namespace's.
    Namespace,
    /// All proven callers' together.
    Everybody,
    /// A node's.
    Node,
    /// All nodes' together.
    Nodes,
    /// That of all who come over the extension API.
    ExtensionApi,
}

/// Why it is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum RefusalReason {
    /// The share is used up.
    Share,
    /// More were asked for in a second than the rate allows.
    Rate,
    /// The address failed too often.
    Failures,
    /// What came as a token is none that could be valid here.
    NoToken,
    /// The API server does not accept the token.
    Token,
    /// The token is of nobody who may have it.
    NotANode,
    /// It is of a ServiceAccount over the extension API, and those may not come there.
    ServiceAccount,
    /// It came too late, or not at all.
    Late,
}

impl RefusalMetrics {
    /// The same counters, for what happens at this listener.
    pub(in crate::gateway) fn at(&self, listener: &ListenerName) -> Self {
        Self {
            listener: listener.clone(),
            ..self.clone()
        }
    }

    /// Something was refused.
    pub(in crate::gateway) fn refused(&self, what: LimitedResource, who: LimitScope, why: RefusalReason) {
        let labels = RefusedLabels {
            listener: self.listener.clone(),
            what: match what {
                LimitedResource::Connection => "connection",
                LimitedResource::Request => "request",
                LimitedResource::Watch => "watch",
                LimitedResource::Node => "node",
                LimitedResource::Review => "review",
            },
            who: match who {
                LimitScope::Address => "address",
                LimitScope::Unauthenticated => "unauthenticated",
                LimitScope::Principal => "principal",
                LimitScope::Namespace => "namespace",
                LimitScope::Everybody => "everybody",
                LimitScope::Node => "node",
                LimitScope::Nodes => "nodes",
                LimitScope::ExtensionApi => "extension_api",
            },
            why: match why {
                RefusalReason::Share => "share",
                RefusalReason::Rate => "rate",
                RefusalReason::Failures => "failures",
                RefusalReason::NoToken => "no_token",
                RefusalReason::Token => "token",
                RefusalReason::NotANode => "not_a_node",
                RefusalReason::ServiceAccount => "service_account",
                RefusalReason::Late => "late",
            },
        };
        self.refused.get_or_create(&labels).inc();
    }

    /// A connection was refused before anybody proved who it is.
    pub(in crate::gateway) fn connection(&self, full: ShareExhausted) {
        self.refused(
            LimitedResource::Connection,
            LimitScope::from_address(full),
            RefusalReason::Share,
        );
    }

    /// A connection was ended by this side.
    pub(in crate::gateway) fn ended(&self, why: &'static str) {
        let listener = self.listener.clone();
        self.ended.get_or_create(&EndedLabels { listener, why }).inc();
    }

    /// The API server is asked about a token.
    pub(in crate::gateway) fn review(&self) {
        self.tokenreviews.inc();
    }

    /// What connections without a proven caller count for.
    pub(in crate::gateway) fn unauthenticated_bytes(&self, bytes: u64) {
        self.unauthenticated_bytes
            .set(i64::try_from(bytes).unwrap_or(i64::MAX));
    }

    /// A node whose token was in its Hello is attached, until this is dropped.
    pub(in crate::gateway) fn token_in_hello(&self) -> TokenInHello {
        self.nodes_with_token_in_hello.inc();
        TokenInHello(self.nodes_with_token_in_hello.clone())
    }

    #[cfg(test)]
    pub(in crate::gateway) fn nodes_with_token_in_hello(&self) -> i64 {
        self.nodes_with_token_in_hello.get()
    }
}

impl LimitScope {
    /// Of a share by address.
    pub(in crate::gateway) const fn from_address(full: ShareExhausted) -> Self {
        match full {
            ShareExhausted::Each => Self::Address,
            ShareExhausted::All => Self::Unauthenticated,
        }
    }
}

/// A node of an earlier version is attached.
#[derive(Debug)]
pub(in crate::gateway) struct TokenInHello(Gauge);

impl Drop for TokenInHello {
    fn drop(&mut self) {
        self.0.dec();
    }
}

#[cfg(test)]
mod tests {
    use strongroom_process::MetricRegistry;

    use super::*;

    #[test]
    fn a_refusal_is_counted_at_its_listener() {
        let mut registry = MetricRegistry::default();
        let shared = RefusalMetrics::register(&mut registry);
        let dedicated = shared.at(&"aigw".parse().unwrap());
        for (metrics, times) in [(&shared, 1), (&dedicated, 2)] {
            for _ in 0..times {
                metrics.connection(ShareExhausted::Each);
                metrics.ended("idle");
            }
        }
        let text = registry.text().unwrap();
        for line in [
            r#"gateway_refused_total{listener="shared",what="connection",who="address",why="share"} 1"#,
            r#"gateway_refused_total{listener="aigw",what="connection",who="address",why="share"} 2"#,
            r#"gateway_connections_ended_total{listener="aigw",why="idle"} 2"#,
        ] {
            assert!(text.lines().any(|one| one == line), "{line}: {text}");
        }
    }
}
