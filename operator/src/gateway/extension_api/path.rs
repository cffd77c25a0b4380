//! From a path of the aggregated API to one of the gateway's.
//!
//! The API server decides by the path which resource and verb RBAC is asked about, so only paths are
//! forwarded that both read alike. It decodes a `%2F` before it forwards; a `/` in a secret's name is
//! therefore written `:`, which no name has.

use super::discovery::{GROUP, VERSION};

/// Where a request goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target<'a> {
    /// The gateway's path.
    pub(super) path: String,
    /// Namespace and name, as they are written, of the secret that it is about.
    pub(super) secret: Option<(&'a str, &'a str)>,
}

/// Where a path leads; `None`: nowhere.
pub(super) fn target(path: &str) -> Option<Target<'_>> {
    let secret = match path.strip_prefix(&format!("/apis/{GROUP}/{VERSION}/namespaces/")) {
        Some(rest) => match rest.split('/').collect::<Vec<_>>().as_slice() {
            [namespace, "secrets", name, ..] => Some((*namespace, *name)),
            _ => None,
        },
        None => None,
    };
    Some(Target {
        path: gateway_path(path)?,
        secret,
    })
}

/// The gateway's path; `None` where there is none.
fn gateway_path(path: &str) -> Option<String> {
    let rest = path.strip_prefix(&format!("/apis/{GROUP}/{VERSION}/"))?;
    let segments: Vec<&str> = rest.split('/').collect();
    if segments
        .iter()
        .any(|segment| segment.is_empty() || matches!(*segment, "." | ".."))
    {
        return None;
    }
    match segments.as_slice() {
        ["auditrecords"] => Some("/v1/auditrecords".to_owned()),
        [
            "namespaces",
            namespace,
            resource @ ("auditrecords" | "clusterkeys" | "deletedsecrets" | "purges" | "sealingkeys"
            | "secrets"),
        ] => Some(format!("/v1/namespaces/{namespace}/{resource}")),
        ["namespaces", namespace, "secrets", name, rest @ ..] if rest.len() <= 2 => {
            let mut path = format!("/v1/namespaces/{namespace}/secrets/{}", restore_slashes(name));
            for segment in rest {
                path.push('/');
                path.push_str(segment);
            }
            Some(path)
        }
        _ => None,
    }
}

fn restore_slashes(name: &str) -> String {
    name.replace(':', "%2F")
        .replace("%3A", "%2F")
        .replace("%3a", "%2F")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_rbac_was_asked_about_is_forwarded() {
        let at = |rest: &str| gateway_path(&format!("/apis/people.strongroom.dev/v1/{rest}"));
        for (path, expected) in [
            ("namespaces/shop/secrets", "/v1/namespaces/shop/secrets"),
            ("namespaces/shop/secrets/db", "/v1/namespaces/shop/secrets/db"),
            (
                "namespaces/shop/secrets/team:db/versions/v-1",
                "/v1/namespaces/shop/secrets/team%2Fdb/versions/v-1",
            ),
            (
                "namespaces/shop/secrets/team%3Adb/value",
                "/v1/namespaces/shop/secrets/team%2Fdb/value",
            ),
            (
                "namespaces/shop/secrets/team:db/history",
                "/v1/namespaces/shop/secrets/team%2Fdb/history",
            ),
            ("namespaces/shop/sealingkeys", "/v1/namespaces/shop/sealingkeys"),
            ("namespaces/shop/auditrecords", "/v1/namespaces/shop/auditrecords"),
            (
                "namespaces/shop/deletedsecrets",
                "/v1/namespaces/shop/deletedsecrets",
            ),
            ("namespaces/shop/purges", "/v1/namespaces/shop/purges"),
            ("auditrecords", "/v1/auditrecords"),
        ] {
            assert_eq!(at(path).as_deref(), Some(expected));
        }
        for path in [
            "",
            "namespaces",
            "namespaces/shop",
            "namespaces/shop/secrets:batchGet",
            "namespaces/shop/secrets/",
            "namespaces/shop/secrets/db/versions/v/x",
            "namespaces/shop//secrets",
            "namespaces/shop/secrets/../auditrecords",
            "watch/namespaces/shop/secrets",
            "proxy/namespaces/shop/secrets/db",
            "sealingkeys",
            "secrets",
            "purges",
            "deletedsecrets",
            "namespaces/shop/purges/db",
            "namespaces/shop/deletedsecrets/db",
        ] {
            assert_eq!(at(path), None, "{path}");
        }
        let secret = |rest: &str| {
            target(&format!("/apis/people.strongroom.dev/v1/{rest}"))
                .unwrap()
                .secret
                .map(|(a, b)| (a.to_owned(), b.to_owned()))
        };
        let db = Some(("shop".to_owned(), "db".to_owned()));
        assert_eq!(secret("namespaces/shop/secrets/db"), db);
        assert_eq!(secret("namespaces/shop/secrets/db/access"), db);
        assert_eq!(secret("namespaces/shop/secrets"), None);
        assert_eq!(secret("auditrecords"), None);
        assert_eq!(gateway_path("/v1/namespaces/shop/secrets/db"), None);
        assert_eq!(gateway_path("/apis/strongroom.dev/v1/auditrecords"), None);
    }
}
