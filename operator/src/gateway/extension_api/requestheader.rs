//! The identity that the API server wrote into a request, under the header names that the cluster says
//! (<https://kubernetes.io/docs/tasks/extend-kubernetes/configure-aggregation-layer/>).

use std::collections::BTreeMap;

use axum::http::{HeaderMap, HeaderName};

use crate::gateway::forwarded::{ForwardedIdentity, text};

/// Under which names it writes what.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct HeaderNames {
    user: Vec<HeaderName>,
    group: Vec<HeaderName>,
    /// Prefixes, in lower case.
    extra: Vec<String>,
}

/// Who called the API server; the last address is the one that it saw itself.
const SOURCE: HeaderName = HeaderName::from_static("x-forwarded-for");

impl HeaderNames {
    /// From the JSON lists of the ConfigMap; `None` where one is no list of header names, or the users' is
    /// empty.
    pub(super) fn parse(user: &str, group: &str, extra: &str) -> Option<Self> {
        let names = |list: &str| -> Option<Vec<HeaderName>> {
            let list: Vec<String> = serde_json::from_str(list).ok()?;
            list.iter().map(|name| name.parse().ok()).collect()
        };
        let extra: Vec<String> = serde_json::from_str(extra).ok()?;
        Some(Self {
            user: names(user).filter(|names| !names.is_empty())?,
            group: names(group)?,
            extra: extra.into_iter().map(|prefix| prefix.to_lowercase()).collect(),
        })
    }

    /// Whom the request names.
    pub(super) fn read(&self, headers: &HeaderMap) -> Option<ForwardedIdentity> {
        let first = |name: &HeaderName| headers.get(name).and_then(text);
        let user = self.user.iter().find_map(first).filter(|user| !user.is_empty())?;
        let groups = self
            .group
            .iter()
            .flat_map(|name| headers.get_all(name))
            .map(text)
            // A group that cannot be read is not left out: a Deny may name it.
            .collect::<Option<_>>()?;
        let source = headers
            .get_all(SOURCE)
            .iter()
            .filter_map(text)
            .next_back()
            .and_then(|list| list.rsplit(',').next()?.trim().parse().ok());
        let pod = self
            .extra(headers, "authentication.kubernetes.io/pod-name")
            .zip(self.extra(headers, "authentication.kubernetes.io/pod-uid"));
        Some(ForwardedIdentity {
            user,
            groups,
            source,
            pod,
            node: self.extra(headers, "authentication.kubernetes.io/node-name"),
            may_get: None,
        })
    }

    /// All that the API server knows of the person besides: the extra fields, as authorizers are told them.
    pub(super) fn extras(&self, headers: &HeaderMap) -> BTreeMap<String, Vec<String>> {
        let mut extras: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for (name, value) in headers {
            let rest = |prefix: &String| name.as_str().strip_prefix(prefix.as_str());
            let Some((rest, value)) = self.extra.iter().find_map(rest).zip(text(value)) else {
                continue;
            };
            let key = percent_encoding::percent_decode_str(rest)
                .decode_utf8_lossy()
                .into_owned();
            extras.entry(key).or_default().push(value);
        }
        extras
    }

    /// One of the extra fields; its key is written with percent signs, and in whatever case.
    fn extra(&self, headers: &HeaderMap, key: &str) -> Option<String> {
        let escaped = key.replace('/', "%2f");
        headers.iter().find_map(|(name, value)| {
            let rest = self
                .extra
                .iter()
                .find_map(|prefix| name.as_str().strip_prefix(prefix.as_str()))?;
            (rest == escaped).then(|| text(value)).flatten()
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> HeaderNames {
        HeaderNames::parse(
            r#"["X-Remote-User"]"#,
            r#"["X-Remote-Group"]"#,
            r#"["X-Remote-Extra-"]"#,
        )
        .unwrap()
    }

    #[test]
    fn the_identity_is_read_as_the_api_server_writes_it() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("x-remote-user", "jane"),
            ("x-remote-group", "ops"),
            ("x-remote-group", "system:authenticated"),
            ("x-remote-extra-authentication.kubernetes.io%2fpod-name", "p"),
            ("x-remote-extra-authentication.kubernetes.io%2fpod-uid", "u"),
            ("x-forwarded-for", "6.6.6.6, 10.1.2.3"),
        ] {
            headers.append(name, value.parse().unwrap());
        }
        let person = names().read(&headers).unwrap();
        assert_eq!(person.user, "jane");
        assert_eq!(person.groups, ["ops", "system:authenticated"]);
        assert_eq!(person.pod, Some(("p".to_owned(), "u".to_owned())));
        assert_eq!(person.node, None);
        let extras = names().extras(&headers);
        let keys: Vec<&String> = extras.keys().collect();
        assert_eq!(
            keys,
            [
                "authentication.kubernetes.io/pod-name",
                "authentication.kubernetes.io/pod-uid"
            ]
        );
        // What the caller wrote stands before it.
        assert_eq!(person.source, "10.1.2.3".parse().ok());
    }

    #[test]
    fn nobody_is_read_as_nobody() {
        assert_eq!(names().read(&HeaderMap::new()), None);
        let mut headers = HeaderMap::new();
        headers.insert("x-strongroom-user", "jane".parse().unwrap());
        headers.insert("x-remote-user", "".parse().unwrap());
        assert_eq!(names().read(&headers), None);
    }

    #[test]
    fn half_a_configuration_is_none() {
        assert_eq!(HeaderNames::parse("[]", "[]", "[]"), None);
        assert_eq!(HeaderNames::parse(r#"["a b"]"#, "[]", "[]"), None);
        assert_eq!(HeaderNames::parse("", "[]", "[]"), None);
    }
}
