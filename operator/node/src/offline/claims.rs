//! Reads from a token whose it is. Its signature is not checked, because kubelet passed it in its call.

use data_encoding::BASE64URL_NOPAD;
use serde::Deserialize;
use strongroom_api::stream::Token;

/// Whom a pod's token is of
/// (<https://kubernetes.io/docs/reference/access-authn-authz/service-accounts-admin/#bound-service-account-tokens>).
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct TokenClaims {
    /// Kubernetes' own.
    #[serde(rename = "kubernetes.io")]
    kubernetes: Kubernetes,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct Kubernetes {
    namespace: String,
    pod: ObjectRef,
    serviceaccount: ObjectRef,
}

#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
struct ObjectRef {
    name: String,
    uid: String,
}

impl TokenClaims {
    /// The claims of a token; none where it is not a pod's.
    #[must_use]
    pub fn from_token(token: &Token) -> Option<Self> {
        let claims = token.expose().split('.').nth(1)?;
        let claims = BASE64URL_NOPAD.decode(claims.as_bytes()).ok()?;
        serde_json::from_slice(&claims).ok()
    }

    /// The pod's namespace.
    #[must_use]
    pub fn namespace(&self) -> &str {
        &self.kubernetes.namespace
    }

    /// The pod's UID.
    #[must_use]
    pub fn pod_uid(&self) -> &str {
        &self.kubernetes.pod.uid
    }

    /// The ServiceAccount's name.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.kubernetes.serviceaccount.name
    }

    /// The ServiceAccount's UID: one that was made again under its name is another one.
    #[must_use]
    pub fn account_uid(&self) -> &str {
        &self.kubernetes.serviceaccount.uid
    }
}

#[cfg(test)]
mod tests {
    use zeroize::Zeroizing;

    use super::*;

    #[test]
    fn a_pods_token_says_whose_it_is() {
        let token = |claims: &str| {
            let text = format!("h.{}.s", BASE64URL_NOPAD.encode(claims.as_bytes()));
            Token::new(Zeroizing::new(text)).unwrap()
        };
        let claims = TokenClaims::from_token(&token(
            r#"{"aud":["strongroom.dev"],"kubernetes.io":{"namespace":"shop","pod":{"name":"p","uid":"pu"},"serviceaccount":{"name":"app","uid":"au"}}}"#,
        ))
        .unwrap();
        assert_eq!(
            (
                claims.namespace(),
                claims.pod_uid(),
                claims.account(),
                claims.account_uid()
            ),
            ("shop", "pu", "app", "au")
        );
        assert_eq!(TokenClaims::from_token(&token("{}")), None);
        let opaque = Token::new(Zeroizing::new("opaque".to_owned())).unwrap();
        assert_eq!(TokenClaims::from_token(&opaque), None);
    }
}
