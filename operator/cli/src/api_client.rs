//! The operations of people's API (`docs/api.md`).

use std::collections::BTreeMap;

use http::Method;
use serde::Serialize;
use serde::de::DeserializeOwned;
use strongroom_api::manifest::ClusterKey;
use strongroom_api::sealed::{OpeningKey, Purpose, SUITE, SealingKey, VersionContext};
use strongroom_api::v1::{
    AuditRecordsPage, ConsumersAnswer, CreateSecretRequest, DeletedSecretsPage, PurgeDeletedSecretsAnswer,
    PurgeDeletedSecretsRequest, PutSecretValueRequest, SealedAnswer, SealedData, SealedTexts,
    SealingKeyAnswer, SecretAnswer, SecretsPage, VersionAnswer,
};
use strongroom_model::{PRODUCT_SEPARATOR, is_secret_name_byte};
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
        body: Option<Vec<u8>>,
    ) -> Result<T, Failure> {
        let path = format!("namespaces/{}/{path}", self.namespace());
        let answer = self.at(method, &path, query, body).await?;
        serde_json::from_slice(&answer).map_err(|error| Failure::Malformed(error.to_string()))
    }

    /// Secrets that may be listed, page by page.
    pub(crate) async fn list(&self, query: &Query<'_>) -> Result<SecretsPage, Failure> {
        self.ask(Method::GET, "secrets", query, None).await
    }

    /// Reads something of a secret that is not its value.
    pub(crate) async fn read<T: DeserializeOwned>(
        &self,
        name: &str,
        what: &str,
        query: &Query<'_>,
    ) -> Result<T, Failure> {
        self.ask(Method::GET, &format!("{}{what}", path(name)?), query, None)
            .await
    }

    /// Who has a secret.
    pub(crate) async fn consumers(&self, name: &str) -> Result<ConsumersAnswer, Failure> {
        self.read(name, "/consumers", &[]).await
    }

    /// Changes something of a secret that is not its value.
    pub(crate) async fn change<T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        what: &str,
        body: &impl Serialize,
    ) -> Result<T, Failure> {
        let body = Some(json(body)?);
        self.ask(method, &format!("{}{what}", path(name)?), &[], body)
            .await
    }

    /// The same where the request has no body.
    pub(crate) async fn change_by_path<T: DeserializeOwned>(
        &self,
        method: Method,
        name: &str,
        what: &str,
        query: &Query<'_>,
    ) -> Result<T, Failure> {
        self.ask(method, &format!("{}{what}", path(name)?), query, None)
            .await
    }

    /// The value of a version, sealed for this call and opened here.
    pub(crate) async fn value(&self, name: &str, which: &Query<'_>) -> Result<OpenedValue, Failure> {
        let (opening, sealing) = OpeningKey::generate();
        let mut query = which.to_vec();
        query.push(("recipient", sealing.to_string()));
        let path = format!("{}/value", path(name)?);
        let answer: SealedAnswer = self.ask(Method::GET, &path, &query, None).await?;
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
    async fn sealed(&self, name: &str, version: &str, data: &Data) -> Result<SealedData, Failure> {
        let made: SealingKeyAnswer = self
            .ask(Method::POST, "sealingkeys", &[], Some(b"{}".to_vec()))
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
        Ok(SealedData {
            key: made.id,
            encapsulated: sealed.encapsulated,
            ciphertext: sealed.ciphertext,
        })
    }

    /// Writes a version.
    pub(crate) async fn put(
        &self,
        name: &str,
        version: &str,
        data: &Data,
        stages: &[String],
    ) -> Result<VersionAnswer, Failure> {
        let path = format!("{}/versions/{}", path(name)?, segment(version)?);
        self.again(async || {
            let body = PutSecretValueRequest {
                data: None,
                sealed: Some(self.sealed(name, version, data).await?),
                stages: stages.to_vec(),
            };
            self.ask(Method::PUT, &path, &[], Some(json(&body)?)).await
        })
        .await
    }

    /// Makes a secret of this value, which the request itself does not hold.
    pub(crate) async fn create(
        &self,
        data: &Data,
        mut request: CreateSecretRequest,
    ) -> Result<SecretAnswer, Failure> {
        path(&request.name)?;
        match self.try_create(data, &mut request).await {
            Err(error) if is_key_gone(&error) => self.try_create(data, &mut request).await,
            other => other,
        }
    }

    async fn try_create(
        &self,
        data: &Data,
        request: &mut CreateSecretRequest,
    ) -> Result<SecretAnswer, Failure> {
        request.sealed = Some(self.sealed(&request.name, &request.version_id, data).await?);
        self.ask(Method::POST, "secrets", &[], Some(json(request)?)).await
    }

    /// Once more where the key was gone.
    async fn again<T>(&self, send: impl AsyncFn() -> Result<T, Failure>) -> Result<T, Failure> {
        match send().await {
            Err(error) if is_key_gone(&error) => send().await,
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
        keys: BTreeMap<String, String>,
    ) -> Result<BTreeMap<String, String>, Failure> {
        let body = json(&SealedTexts {
            name: name.to_owned(),
            keys,
        })?;
        let answer: SealedTexts = self.ask(Method::POST, "clusterkeys", &[], Some(body)).await?;
        Ok(answer.keys)
    }

    /// A page of what is in recovery windows in the namespace, for administrators.
    pub(crate) async fn deleted(&self, after: Option<&str>) -> Result<DeletedSecretsPage, Failure> {
        let query: Vec<(&str, String)> = after
            .map(|after| ("after", after.to_owned()))
            .into_iter()
            .collect();
        self.ask(Method::GET, "deletedsecrets", &query, None).await
    }

    /// Destroys some of what was deleted in the namespace before a time.
    pub(crate) async fn purge(
        &self,
        request: PurgeDeletedSecretsRequest,
    ) -> Result<PurgeDeletedSecretsAnswer, Failure> {
        self.ask(Method::POST, "purges", &[], Some(json(&request)?)).await
    }

    /// How many hours the audit log holds at the present rate, for whoever may list it. No record is read.
    pub(crate) async fn audit_held_hours(&self) -> Option<f64> {
        self.records(false, Some(AUDIT_END)).await.ok()?.held_hours
    }

    /// A page of audit records, of the namespace or of all.
    pub(crate) async fn records(
        &self,
        everywhere: bool,
        after: Option<&str>,
    ) -> Result<AuditRecordsPage, Failure> {
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

/// A body, which holds no value that is not sealed.
fn json(body: &impl Serialize) -> Result<Vec<u8>, Failure> {
    serde_json::to_vec(body).map_err(|error| Failure::Input(error.to_string()))
}

/// Whether the key that a value is sealed for was gone: the process may have been restarted between the two
/// requests.
fn is_key_gone(error: &Failure) -> bool {
    matches!(error, Failure::Refused(problem) if problem.code == "SealingKeyNotFound")
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
