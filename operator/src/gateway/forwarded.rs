//! The person whom the API server authenticated, as the extension API forwards it to the gateway.
//!
//! INVARIANT: these headers count only where the client of the connection proved to be the extension API.
//! Elsewhere they are ignored.

use std::net::IpAddr;

use axum::http::{HeaderMap, HeaderName, HeaderValue};
use strongroom_rules::policy::{Identity, Principal};

use super::authenticate::Caller;
use super::may_get::MayGet;
use super::problem::{Code, Problem};

const USER: HeaderName = HeaderName::from_static("x-strongroom-user");
const GROUP: HeaderName = HeaderName::from_static("x-strongroom-group");
const SOURCE: HeaderName = HeaderName::from_static("x-strongroom-source");
const POD: HeaderName = HeaderName::from_static("x-strongroom-pod");
const POD_UID: HeaderName = HeaderName::from_static("x-strongroom-pod-uid");
const NODE: HeaderName = HeaderName::from_static("x-strongroom-node");
const MAY_GET: HeaderName = HeaderName::from_static("x-strongroom-may-get");
/// Most groups of a person. Whoever has more is refused: a Deny by one that is left out would not hold.
const MAX_GROUPS: usize = 512;

/// Whether ServiceAccounts may come over the extension API, as by the kubeconfig of a pipeline.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub(crate) enum ExtensionApiAccounts {
    /// As people do
    #[default]
    Allow,
    /// Not at all: a front that was taken over speaks for none of them
    Refuse,
}

impl ExtensionApiAccounts {
    /// Lets somebody in who comes over the extension API.
    ///
    /// # Errors
    /// [`Code::ServiceAccountRefused`].
    pub(super) fn admit(self, identity: &Identity) -> Result<(), Problem> {
        match (self, identity) {
            (Self::Refuse, Identity::ServiceAccount { .. }) => Err(Problem::new(
                Code::ServiceAccountRefused,
                "this installation refuses ServiceAccounts over people.strongroom.dev (`people.serviceAccounts` of the chart); call the gateway over HTTPS with a projected token of audience `strongroom.dev`",
            )),
            (Self::Allow, _) | (Self::Refuse, Identity::User(_)) => Ok(()),
        }
    }
}

/// Whom the API server verified.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct ForwardedIdentity {
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

impl ForwardedIdentity {
    /// As headers; `None` where a name cannot stand in one, or there are too many groups.
    pub(super) fn headers(&self) -> Option<HeaderMap> {
        let mut headers = HeaderMap::new();
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).ok();
        headers.insert(USER, value(&self.user)?);
        if self.groups.len() > MAX_GROUPS {
            return None;
        }
        for group in &self.groups {
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
    /// Nor is whoever has a group that cannot be read, or too many.
    pub(super) fn read(headers: &HeaderMap) -> Option<Self> {
        let one = |name: HeaderName| headers.get(name).and_then(text);
        let groups: Vec<String> = headers.get_all(GROUP).iter().map(text).collect::<Option<_>>()?;
        if groups.len() > MAX_GROUPS {
            return None;
        }
        Some(Self {
            user: one(USER).filter(|user| !user.is_empty() && user != "system:anonymous")?,
            groups,
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
                identity: Identity::from_username(&self.user),
                groups: self.groups,
            },
            account_uid: None,
            pod: self.pod,
            node: self.node,
            offline: false,
            via_extension_api: true,
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
        let person = ForwardedIdentity {
            user: "jané".to_owned(),
            groups: vec!["ops".to_owned(), "system:authenticated".to_owned()],
            source: "10.1.2.3".parse().ok(),
            pod: Some(("p".to_owned(), "u".to_owned())),
            node: Some("n".to_owned()),
            may_get: "shop/db".parse().ok(),
        };
        assert_eq!(ForwardedIdentity::read(&person.headers().unwrap()), Some(person));
    }

    #[test]
    fn no_group_is_left_out_on_the_way() {
        let person = |groups: usize| ForwardedIdentity {
            user: "jane".to_owned(),
            groups: (0..groups).map(|number| format!("g-{number}")).collect(),
            ..ForwardedIdentity::default()
        };
        let most = person(MAX_GROUPS);
        let mut headers = most.headers().unwrap();
        assert_eq!(ForwardedIdentity::read(&headers), Some(most));
        assert_eq!(person(MAX_GROUPS + 1).headers(), None);
        headers.append(GROUP, HeaderValue::from_static("one-more"));
        assert_eq!(ForwardedIdentity::read(&headers), None);
        headers.remove(GROUP);
        headers.append(GROUP, HeaderValue::from_bytes(b"caf\xe9").unwrap());
        assert_eq!(
            ForwardedIdentity::read(&headers),
            None,
            "a group that cannot be read"
        );
    }

    #[test]
    fn nobody_is_nobody() {
        assert_eq!(ForwardedIdentity::read(&HeaderMap::new()), None);
        for user in ["", "system:anonymous"] {
            let person = ForwardedIdentity {
                user: user.to_owned(),
                ..ForwardedIdentity::default()
            };
            assert_eq!(
                ForwardedIdentity::read(&person.headers().unwrap()),
                None,
                "{user}"
            );
        }
        let broken = ForwardedIdentity {
            user: "a\nb".to_owned(),
            ..ForwardedIdentity::default()
        };
        assert_eq!(broken.headers(), None);
    }
}
