//! The person whom the API server verified, as the people's front tells the gateway.
//!
//! INVARIANT: these headers count only where the client of the connection proved to be the front. Nobody looks at them anywhere else.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use strongroom_rules::policy::{Identity, Principal};

use super::authenticate::Caller;
use super::may_get::MayGet;

const USER: HeaderName = HeaderName::from_static("x-strongroom-user");
const GROUP: HeaderName = HeaderName::from_static("x-strongroom-group");
const SOURCE: HeaderName = HeaderName::from_static("x-strongroom-source");
const POD: HeaderName = HeaderName::from_static("x-strongroom-pod");
const POD_UID: HeaderName = HeaderName::from_static("x-strongroom-pod-uid");
const NODE: HeaderName = HeaderName::from_static("x-strongroom-node");
const MAY_GET: HeaderName = HeaderName::from_static("x-strongroom-may-get");
/// Groups that are looked at.
const GROUPS: usize = 512;

/// Whom the API server verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Forwarded {
    pub(super) user: String,
    pub(super) groups: Vec<String>,
    /// The address from which the API server was called.
    pub(super) source: Option<IpAddr>,
    /// The pod that the caller's token is bound to: name and UID.
    pub(super) pod: Option<(String, String)>,
    pub(super) node: Option<String>,
    /// What RBAC lets it `get`. An older extension API server does not say it.
    pub(super) may_get: Option<MayGet>,
}

impl Forwarded {
    /// As headers; `None` where a name cannot stand in one.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        headers.insert(USER, value(&self.user)?);
        for group in self.groups.iter().take(GROUPS) {
            headers.append(GROUP, value(group)?);
        }
        if let Some(source) = self.source {
            headers.insert(SOURCE, value(&source.to_string())?);
        }
        if let Some((name, uid)) = &self.pod {
            headers.insert(POD, value(name)?);
            headers.insert(POD_UID, value(uid)?);
        }
        if let Some(node) = &self.node {
            headers.insert(NODE, value(node)?);
        }
        if let Some(may_get) = &self.may_get {
            headers.insert(MAY_GET, value(&may_get.to_string())?);
        }
        Some(headers)
    }

    /// From headers. Nobody is nobody: not without a name, and not as the API server calls those without one.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let one = |name: HeaderName| headers.get(name).and_then(text);
        Some(Self {
            user: one(USER).filter(|user| !user.is_empty() && user != "system:anonymous")?,
            groups: headers
                .get_all(GROUP)
                .iter()
                .filter_map(text)
                .take(GROUPS)
                .collect(),
            source: one(SOURCE).and_then(|source| source.parse().ok()),
            pod: one(POD).zip(one(POD_UID)),
            node: one(NODE),
            may_get: one(MAY_GET).and_then(|text| text.parse().ok()),
        })
    }

    /// The caller that policies know, and where it calls from.
    pub(super) fn caller(self) -> (Caller, Option<IpAddr>) {
        let caller = Caller {
            principal: Principal {
                identity: Identity::of(&self.user),
                groups: self.groups,
            },
            pod: self.pod,
            node: self.node,
            offline: false,
            through_front: true,
            may_get: self.may_get,
        };
        (caller, self.source)
    }
}

/// Names are UTF-8 in whatever header they stand.
pub(super) fn text(value: &HeaderValue) -> Option<String> {
    String::from_utf8(value.as_bytes().to_vec()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_front_writes_the_gateway_reads() {
        let person = Forwarded {
            user: "jané".to_owned(),
            groups: vec!["ops".to_owned(), "system:authenticated".to_owned()],
            source: "10.1.2.3".parse().ok(),
            pod: Some(("p".to_owned(), "u".to_owned())),
            node: Some("n".to_owned()),
            may_get: "shop/db".parse().ok(),
        };
        assert_eq!(Forwarded::read(&person.headers().unwrap()), Some(person));
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(Forwarded::read(&HeaderMap::new()), None);
        for user in ["", "system:anonymous"] {
            let person = Forwarded {
                user: user.to_owned(),
                ..Forwarded::default()
            };
            assert_eq!(Forwarded::read(&person.headers().unwrap()), None, "{user}");
        }
        let broken = Forwarded {
            user: "a\nb".to_owned(),
            ..Forwarded::default()
        };
        assert_eq!(broken.headers(), None);
    }
}
