//! The operations of people's API (`docs/api.md`).

use http::Method;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use strongroom_api::manifest::ClusterKey;
use strongroom_api::problem::Code;
use strongroom_api::sealed::{HpkeCiphertext, OpeningKey, Purpose, SUITE, SealingKey, VersionContext};
use strongroom_value::{PRODUCT_SEPARATOR, is_secret_name_byte};
use zeroize::Zeroizing;

use crate::cluster::Cluster;
use crate::data::Data;
use crate::failure::Failure;

/// People's API of one namespace.
#[derive(Clone)]
pub(crate) struct ApiClient {
    pub(crate) cluster: Cluster,
}

/// Parameters of a request.
pub(crate) type Query<'a> = [(&'a str, String)];

/// A value that came sealed, and the id of its version.
pub(crate) struct OpenedValue {
    pub(crate) version: String,
    pub(crate) bytes: Zeroizing<Vec<u8>>,
}

/// The path of a secret; a `/` in its name is written `:`, because the API server would not keep it.
fn path(name: &str) -> Result<String, Failure> {
    let known = |byte: u8| is_secret_name_byte(byte) || char::from(byte) == PRODUCT_SEPARATOR;
    if name.is_empty() || !name.bytes().all(known) {
        let why = format!("`{name}` is not a valid secret name: use letters, digits and `_/+=.-@`");
        return Err(Failure::Input(why));
    }
    Ok(format!("secrets/{}", name.replace('/', ":")))
}

impl ApiClient {
    pub(crate) fn namespace(&self) -> &str {
        &self.cluster.namespace
    }

    async fn at(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<Vec<u8>>,
    ) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let query = serde_urlencoded::to_string(query).map_err(|error| Failure::Input(error.to_string()))?;
        let mark = if query.is_empty() { "" } else { "?" };
        let uri = format!("/apis/people.strongroom.dev/v1/{path}{mark}{query}");
        self.cluster.call(method, &uri, body).await
    }

    /// Asks for something in the namespace.
    async fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<T, Failure> {
        let path = format!("namespaces/{}/{path}", self.namespace());
        let body = body.map(|body| body.to_string().into_bytes());
        let answer = self.at(method, &path, query, body).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// Secrets that may be listed, page by page.
    pub(crate) async fn list(&self, query: &Query<'_>) -> Result<Value, Failure> {
        self.ask(Method::GET, "secrets", query, None).await
    }

    /// Reads something of a secret that is not its value.
    pub(crate) async fn read(&self, name: &str, what: &str, query: &Query<'_>) -> Result<Value, Failure> {
        self.ask(Method::GET, &format!("{}{what}", path(name)?), query, None)
            .await
    }

    /// The volumes that have a secret.
    pub(crate) async fn consumers(&self, name: &str) -> Result<Value, Failure> {
        self.read(name, "/consumers", &[]).await
    }

    /// Changes something of a secret that is not its value.
    pub(crate) async fn change(
        &self,
        method: Method,
        name: &str,
        what: &str,
        query: &Query<'_>,
        body: Option<&Value>,
    ) -> Result<Value, Failure> {
        self.ask(method, &format!("{}{what}", path(name)?), query, body)
            .await
    }

    /// The value of a version, sealed for this call and opened here.
    pub(crate) async fn value(&self, name: &str, which: &Query<'_>) -> Result<OpenedValue, Failure> {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Answer {
            version_id: String,
            suite: String,
            sealed: HpkeCiphertext,
        }
        let (opening, sealing) = OpeningKey::generate();
        let mut query = which.to_vec();
        query.push(("recipient", sealing.to_string()));
        let path = format!("{}/value", path(name)?);
        let answer: Answer = self.ask(Method::GET, &path, &query, None).await?;
        if answer.suite != SUITE {
            return Err(Failure::Malformed(format!(
                "it is sealed with `{}`",
                answer.suite
            )));
        }
        let about = VersionContext {
            namespace: self.namespace(),
            secret: name,
            version: &answer.version_id,
        };
        let bytes = opening.open(&answer.sealed, Purpose::Answer, &about)?;
        Ok(OpenedValue {
            version: answer.version_id,
            bytes,
        })
    }

    /// A value, sealed for a key that the gateway makes for this call.
    async fn sealed(&self, name: &str, version: &str, data: &Data) -> Result<Value, Failure> {
        #[derive(serde::Deserialize)]
        struct Made {
            id: String,
            key: String,
            suite: String,
        }
        let made: Made = self
            .ask(Method::POST, "sealingkeys", &[], Some(&json!({})))
            .await?;
        if made.suite != SUITE {
            return Err(Failure::Malformed(format!(
                "it would be sealed with `{}`",
                made.suite
            )));
        }
        let key: SealingKey = made.key.parse()?;
        let about = VersionContext {
            namespace: self.namespace(),
            secret: name,
            version,
        };
        let sealed = key.seal(&data.json(), Purpose::Request, &about)?;
        Ok(json!({"key": made.id, "encapsulated": sealed.encapsulated, "ciphertext": sealed.ciphertext}))
    }

    /// Writes a version.
    pub(crate) async fn put(
        &self,
        name: &str,
        version: &str,
        data: &Data,
        stages: &[String],
    ) -> Result<Value, Failure> {
        let path = format!("{}/versions/{}", path(name)?, segment(version)?);
        self.again(async || {
            let body = json!({"sealed": self.sealed(name, version, data).await?, "stages": stages});
            self.ask(Method::PUT, &path, &[], Some(&body)).await
        })
        .await
    }

    /// Makes a secret; `fields` are those beside the value.
    pub(crate) async fn create(
        &self,
        name: &str,
        version: &str,
        data: &Data,
        fields: &Value,
    ) -> Result<Value, Failure> {
        path(name)?;
        self.again(async || {
            let mut body = json!({"name": name, "versionId": version, "sealed": self.sealed(name, version, data).await?});
            if let (Some(body), Some(fields)) = (body.as_object_mut(), fields.as_object()) {
                body.extend(fields.clone());
            }
            self.ask(Method::POST, "secrets", &[], Some(&body)).await
        })
        .await
    }

    /// Once more where the key was gone: the process may have been restarted between the two requests.
    async fn again(&self, send: impl AsyncFn() -> Result<Value, Failure>) -> Result<Value, Failure> {
        match send().await {
            Err(Failure::Refused(problem)) if problem.code == Code::SealingKeyNotFound.as_str() => {
                send().await
            }
            other => other,
        }
    }

    /// What values in manifests are sealed for.
    pub(crate) async fn cluster_key(&self) -> Result<ClusterKey, Failure> {
        self.ask(Method::GET, "clusterkeys", &[], None).await
    }

    /// Sealed texts of a secret, by key of its value, renewed.
    pub(crate) async fn renewed(
        &self,
        name: &str,
        keys: &Value,
    ) -> Result<std::collections::BTreeMap<String, String>, Failure> {
        #[derive(serde::Deserialize)]
        struct Answer {
            keys: std::collections::BTreeMap<String, String>,
        }
        let body = json!({"name": name, "keys": keys});
        let answer: Answer = self.ask(Method::POST, "clusterkeys", &[], Some(&body)).await?;
        Ok(answer.keys)
    }

    /// A page of what is in recovery windows in the namespace, for administrators.
    pub(crate) async fn deleted<S: DeserializeOwned>(
        &self,
        after: Option<&str>,
    ) -> Result<DeletedPage<S>, Failure> {
        let query: Vec<(&str, String)> = after
            .map(|after| ("after", after.to_owned()))
            .into_iter()
            .collect();
        self.ask(Method::GET, "deletedsecrets", &query, None).await
    }

    /// Destroys some of what was deleted in the namespace before a time.
    pub(crate) async fn purge(&self, deleted_before: &str) -> Result<PurgeResult, Failure> {
        let body = json!({"deletedBefore": deleted_before});
        self.ask(Method::POST, "purges", &[], Some(&body)).await
    }

    /// How many hours the audit log holds at the present rate, for whoever may list it. No record is read.
    pub(crate) async fn audit_held_hours(&self) -> Option<f64> {
        self.records(false, Some(AUDIT_END)).await.ok()?.held_hours
    }

    /// A page of audit records, of the namespace or of all.
    pub(crate) async fn records(&self, everywhere: bool, after: Option<&str>) -> Result<AuditPage, Failure> {
        let path = if everywhere {
            "auditrecords".to_owned()
        } else {
            format!("namespaces/{}/auditrecords", self.namespace())
        };
        let query: Vec<(&str, String)> = after
            .map(|after| ("after", after.to_owned()))
            .into_iter()
            .collect();
        let answer = self.at(Method::GET, &path, &query, None).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::Malformed(error.to_string()))
    }
}

/// Some deleted secrets, where to go on, and what the namespace has of the store.
#[derive(Debug, serde::Deserialize)]
pub(crate) struct DeletedPage<S> {
    pub(crate) secrets: Vec<S>,
    pub(crate) next: Option<String>,
    pub(crate) time: String,
    pub(crate) used: Value,
    pub(crate) limit: Value,
}

/// What was destroyed.
#[derive(Clone, Copy, Debug, serde::Deserialize)]
pub(crate) struct PurgeResult {
    pub(crate) destroyed: u64,
    pub(crate) bytes: u64,
    pub(crate) more: bool,
}

/// Some records, and where to go on.
#[derive(Debug, serde::Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AuditPage {
    pub(crate) records: Vec<strongroom_api::audit::AuditRecord>,
    pub(crate) next: String,
    /// How many hours the log holds at the present rate.
    #[serde(default)]
    pub(crate) held_hours: Option<f64>,
}

/// After all records that there will ever be: a page of none.
const AUDIT_END: &str = "18446744073709551615.18446744073709551615";

/// A version or a stage as a part of a path.
pub(crate) fn segment(text: &str) -> Result<&str, Failure> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    if text.is_empty() || !text.bytes().all(known) || matches!(text, "." | "..") {
        return Err(Failure::Input(format!(
            "`{text}` is neither a version id nor a stage: use letters, digits and `_.-`"
        )));
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_become_paths_or_are_refused() {
        assert_eq!(path("team/db@1").unwrap(), "secrets/team:db@1");
        for bad in ["", "a b", "a?b", "a#b", "a%2fb", "a:b", "a\0"] {
            assert!(path(bad).is_err(), "{bad}");
        }
        for bad in ["", "..", "a/b", "a?b"] {
            assert!(segment(bad).is_err(), "{bad}");
        }
    }
}
