//! `seal`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde_json::json;
use strongroom_api::manifest::{ClusterKey, ManifestContext, SealedText};
use strongroom_api::sealed::{SUITE, SealingKey};

use crate::api_client::ApiClient;
use crate::cluster::Cluster;
use crate::data::{Source, text};
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Seals a value for this cluster, so that you can keep it in Git
///
/// Prints a ManagedSecret with `source: {sealed: …}`. Only this cluster can open it, and only in this
/// namespace, for this secret and key. Examples:
///
///   kubectl strongroom seal smtp --key password --native smtp < password.txt > smtp.yaml
///
///   kubectl strongroom seal --fetch-key > cluster.json; kubectl strongroom seal smtp --cluster-key
///   cluster.json -n shop --key password < password.txt
///
///   kubectl strongroom seal --rewrap smtp.yaml
#[derive(Debug, clap::Args)]
#[group(id = "mode", required = true, multiple = false, args = ["name", "fetch_key", "rewrap"])]
pub(crate) struct Arguments {
    /// The ManagedSecret
    name: Option<String>,
    #[command(flatten)]
    source: Source,
    /// Name of the secret in the store, if it differs
    #[arg(long, value_name = "NAME", requires = "name")]
    store_name: Option<String>,
    /// Name of the native Secret for the value
    #[arg(long, value_name = "NAME", requires = "name")]
    native: Option<String>,
    /// A file written by --fetch-key, so that no cluster is needed
    #[arg(long, value_name = "PATH", requires = "name")]
    cluster_key: Option<PathBuf>,
    /// Prints the cluster's public key instead
    #[arg(long)]
    fetch_key: bool,
    /// Renews the sealed values in this file for the cluster's newest key, in place; everything else in it
    /// stays as it is
    #[arg(long, value_name = "PATH")]
    rewrap: Option<PathBuf>,
}

impl Arguments {
    /// Whether it can be done without a cluster.
    pub(crate) const fn is_offline(&self) -> bool {
        self.cluster_key.is_some()
    }
}

/// Without a cluster: the namespace has to be said.
pub(crate) fn offline(arguments: &Arguments, namespace: Option<&str>, out: &Output) -> Result<(), Failure> {
    let (Some(path), Some(name)) = (&arguments.cluster_key, &arguments.name) else {
        return Err(Failure::Input("name the secret".to_owned()));
    };
    let namespace = namespace.ok_or_else(|| {
        Failure::Input("give the namespace with `-n`: the value is sealed for it".to_owned())
    })?;
    let key = serde_json::from_str(&text(path)?).map_err(|error| {
        Failure::Input(format!(
            "`{}` was not written by --fetch-key: {error}",
            path.display()
        ))
    })?;
    manifest(arguments, name, namespace, &key, out)
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    if let Some(path) = &arguments.rewrap {
        return rewrap(path, client, out).await;
    }
    let key = client.cluster_key().await?;
    match &arguments.name {
        Some(name) => manifest(arguments, name, client.namespace(), &key, out),
        None => {
            let answer = serde_json::to_value(&key).map_err(|error| Failure::Malformed(error.to_string()))?;
            Output::new(Format::Json).tell(&answer, "")
        }
    }
}

/// Prints the ManagedSecret.
fn manifest(
    arguments: &Arguments,
    name: &str,
    namespace: &str,
    key: &ClusterKey,
    out: &Output,
) -> Result<(), Failure> {
    if key.suite != SUITE {
        return Err(Failure::Malformed(format!(
            "the cluster's key is for `{}`",
            key.suite
        )));
    }
    let public: SealingKey = key.key.parse()?;
    let secret = arguments.store_name.as_deref().unwrap_or(name);
    let data = arguments.source.read()?;
    let mut keys = BTreeMap::new();
    for (data_key, bytes) in data.keys() {
        let place = ManifestContext {
            store: &key.store,
            namespace,
            secret,
            key: data_key,
        };
        keys.insert(
            data_key,
            SealedText::seal(&key.id, &public, bytes, &place)?.to_string(),
        );
    }
    let mut spec = json!({"source": {"sealed": {"keys": keys}}});
    if let Some(fields) = spec.as_object_mut() {
        fields.extend(
            arguments
                .store_name
                .iter()
                .map(|name| ("storeName".to_owned(), json!(name))),
        );
        fields.extend(
            arguments
                .native
                .iter()
                .map(|name| ("secret".to_owned(), json!({"name": name}))),
        );
    }
    let object = json!({
        "apiVersion": "strongroom.dev/v1alpha1",
        "kind": "ManagedSecret",
        "metadata": {"name": name, "namespace": namespace},
        "spec": spec,
    });
    // A manifest is no table.
    let format = if out.format == Format::Json {
        Format::Json
    } else {
        Format::Yaml
    };
    Output::new(format).tell(&object, "")
}

/// What of a document is looked at.
#[derive(Debug, Deserialize)]
struct Document {
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: Spec,
}

#[derive(Debug, Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: String,
    #[serde(default)]
    namespace: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Spec {
    #[serde(default)]
    store_name: Option<String>,
    #[serde(default)]
    source: SpecSource,
}

#[derive(Debug, Default, Deserialize)]
struct SpecSource {
    #[serde(default)]
    sealed: Option<Keys>,
}

#[derive(Debug, Deserialize)]
struct Keys {
    keys: BTreeMap<String, String>,
}

/// The sealed texts of a file, each with where it belongs.
#[derive(Debug, PartialEq, Eq)]
struct SealedEntry {
    namespace: String,
    secret: String,
    keys: BTreeMap<String, String>,
}

fn sealed(yaml: &str, namespace: &str) -> Result<Vec<SealedEntry>, Failure> {
    let documents: Vec<Document> = serde_saphyr::from_multiple(yaml)
        .map_err(|error| Failure::Input(format!("the file is not YAML: {error}")))?;
    let of = |document: Document| {
        let Document { kind, metadata, spec } = document;
        let keys = spec.source.sealed.filter(|_| kind == "ManagedSecret")?.keys;
        Some(SealedEntry {
            namespace: metadata.namespace.unwrap_or_else(|| namespace.to_owned()),
            secret: spec.store_name.unwrap_or(metadata.name),
            keys,
        })
    };
    Ok(documents.into_iter().filter_map(of).collect())
}

/// The texts stand in the file once each, so everything else of it, comments included, stays as it is.
async fn rewrap(path: &Path, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let mut file = text(path)?;
    let newest = client.cluster_key().await?.id;
    let (mut renewed, mut all) = (0_usize, 0_usize);
    for SealedEntry {
        namespace,
        secret,
        keys,
    } in sealed(&file, client.namespace())?
    {
        all += keys.len();
        let is_old = |text: &str| text.parse::<SealedText>().is_ok_and(|text| text.key != newest);
        let mut old = keys;
        old.retain(|_, text| is_old(text));
        if old.is_empty() {
            continue;
        }
        let there = ApiClient {
            cluster: Cluster {
                namespace,
                ..client.cluster.clone()
            },
        };
        let answer = there.renewed(&secret, old.clone()).await?;
        for (key, text) in old {
            let new = answer
                .get(&key)
                .ok_or_else(|| Failure::Malformed(format!("no text came back for `{key}`")))?;
            file = file.replace(text.as_str(), new);
            renewed += 1;
        }
    }
    if renewed > 0 {
        std::fs::write(path, &file).map_err(|source| Failure::Write {
            path: path.display().to_string(),
            source,
        })?;
    }
    let answer = json!({"renewed": renewed, "texts": all, "key": newest});
    out.tell(
        &answer,
        &format!(
            "{}: {renewed} of {all} sealed texts renewed for key {newest}",
            path.display()
        ),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_texts_of_a_file_are_found_with_where_they_belong() {
        let yaml = "# a comment\napiVersion: v1\nkind: ConfigMap\nmetadata: {name: x}\n---\n\
            apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db, namespace: pay}\nspec:\n  storeName: team/db\n  \
            source: {sealed: {keys: {a: strongroom1.k.e.c}}}\n---\n\
            apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: gen}\nspec: {source: {generate: {keys: {a: {uuid: {}}}}}}\n---\n\
            apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: smtp}\nspec: {source: {sealed: {keys: {b: x, c: y}}}}\n";
        let found = sealed(yaml, "shop").unwrap();
        let keys = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, text)| ((*key).to_owned(), (*text).to_owned()))
                .collect()
        };
        assert_eq!(
            found,
            [
                SealedEntry {
                    namespace: "pay".to_owned(),
                    secret: "team/db".to_owned(),
                    keys: keys(&[("a", "strongroom1.k.e.c")]),
                },
                SealedEntry {
                    namespace: "shop".to_owned(),
                    secret: "smtp".to_owned(),
                    keys: keys(&[("b", "x"), ("c", "y")]),
                },
            ]
        );
        assert!(sealed("[", "shop").is_err());
    }
}
