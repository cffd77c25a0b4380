//! `policy import` and `policy export`: policies of RAM, the access control of Alibaba Cloud, as
//! SecretPolicies and back.

use std::path::PathBuf;

use data_encoding::HEXLOWER;
use k8s_openapi::api::core::v1::Namespace;
use kube::api::ListParams;
use kube::{Api, ResourceExt};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use strongroom_api::ram_policy::{self, ImportedPolicy, PolicyTarget, RamAccounts, RamPolicyReason};
use strongroom_crds::annotation::ALIBABA_ACCOUNT;
use strongroom_crds::v1alpha1::SecretPolicy;
use strongroom_crds::{Manifest, parse_manifest};

use crate::cluster::Cluster;
use crate::data::text;
use crate::failure::Failure;
use crate::output::{Format, Output};

/// Prints a policy of RAM, the access control of Alibaba Cloud, as a SecretPolicy
///
/// Nothing is applied: the object is printed for `kubectl apply` or for Git. It keeps the policy as it was
/// written, so that `policy export` gives it back byte for byte. What a SecretPolicy cannot say is refused
/// with its line, column and path.
///
/// Examples:
///
///   kubectl strongroom policy import --file policy.json --for serviceaccount/checkout | kubectl apply -f -
///
///   kubectl strongroom policy import --file policy.json --secret 'ai-gateway!payments' | kubectl apply -f -
#[derive(Debug, clap::Args)]
pub(crate) struct Import {
    /// The policy, in JSON; `-` is standard input
    #[arg(short, long, value_name = "PATH")]
    file: PathBuf,
    /// A ServiceAccount whose rights the statements are, as `serviceaccount/checkout`; may be repeated
    #[arg(
        long = "for",
        value_name = "serviceaccount/NAME",
        value_parser = service_account,
        required_unless_present = "secrets",
        conflicts_with = "secrets"
    )]
    service_accounts: Vec<String>,
    /// A secret that the statements are about, by its name in the store; may be repeated
    #[arg(long = "secret", value_name = "NAME")]
    secrets: Vec<String>,
    /// The namespace that an account stands for; may be repeated. Default: the Namespace with the annotation
    /// `strongroom.dev/alibaba-account`
    #[arg(long = "account", value_name = "ACCOUNT=NAMESPACE")]
    accounts: Vec<String>,
    /// Name of the SecretPolicy; default: a name that goes with the policy and with what it is for
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
}

/// Prints a SecretPolicy as a policy of RAM
///
/// A policy that was imported is printed as it was written, as long as its statements are those that were
/// made of it. What RAM cannot say is refused.
///
/// Example: kubectl strongroom policy export ram-3f9c2a17 > policy.json
#[derive(Debug, clap::Args)]
pub(crate) struct Export {
    /// The SecretPolicy
    #[arg(required_unless_present = "file")]
    name: Option<String>,
    /// A file with the SecretPolicy, in YAML or JSON, instead of one in the cluster; `-` is standard input
    #[arg(short, long, value_name = "PATH", conflicts_with = "name")]
    file: Option<PathBuf>,
}

fn service_account(text: &str) -> Result<String, String> {
    match text.split_once('/') {
        Some(("serviceaccount" | "sa", name)) if !name.is_empty() => Ok(name.to_owned()),
        _ => Err("write it like serviceaccount/checkout".to_owned()),
    }
}

pub(super) async fn import(arguments: &Import, cluster: &Cluster, out: &Output) -> Result<(), Failure> {
    let policy = text(&arguments.file)?;
    let target = if arguments.secrets.is_empty() {
        PolicyTarget::ServiceAccounts(arguments.service_accounts.clone())
    } else {
        PolicyTarget::Secrets(arguments.secrets.clone())
    };
    let mut accounts = accounts(&arguments.accounts)?;
    let mut annotated: Option<Vec<(String, String)>> = None;
    let imported = loop {
        let error = match ram_policy::import(&policy, &cluster.namespace, &target, &accounts) {
            Ok(imported) => break imported,
            Err(error) => error,
        };
        let refused = || Failure::Input(format!("`{}`, {error}", arguments.file.display()));
        let RamPolicyReason::Account { account, .. } = &error.reason else {
            return Err(refused());
        };
        let known = match annotated.take() {
            Some(known) => known,
            None => annotated_namespaces(cluster).await?,
        };
        let before = accounts.clone();
        for (_, namespace) in known.iter().filter(|(of, _)| of == account) {
            accounts
                .insert(account, namespace)
                .map_err(|error| Failure::Input(error.to_string()))?;
        }
        if accounts == before {
            return Err(refused());
        }
        annotated = Some(known);
    };
    let name = arguments
        .name
        .clone()
        .unwrap_or_else(|| object_name(&target, &policy));
    let object = manifest(&cluster.namespace, &name, &imported)?;
    // A manifest is no table.
    let format = if out.format == Format::Json {
        Format::Json
    } else {
        Format::Yaml
    };
    Output::new(format).tell(&object, "")?;
    for hint in &imported.hints {
        out.note(&format!("note: {hint}"));
    }
    Ok(())
}

/// The accounts that the command line says.
fn accounts(pairs: &[String]) -> Result<RamAccounts, Failure> {
    let refused = |why: &dyn std::fmt::Display| Failure::Input(format!("--account: {why}"));
    let mut accounts = RamAccounts::default();
    for pair in pairs {
        let (account, namespace) = pair
            .split_once('=')
            .ok_or_else(|| refused(&"write it like `--account 123456789012****=pay`"))?;
        accounts
            .insert(account, namespace)
            .map_err(|error| refused(&error))?;
    }
    Ok(accounts)
}

/// The accounts of the Namespaces that may be seen: of all, or of the one that is meant, or of none.
async fn annotated_namespaces(cluster: &Cluster) -> Result<Vec<(String, String)>, Failure> {
    let api: Api<Namespace> = Api::all(cluster.client.clone());
    let found = match api.list_metadata(&ListParams::default()).await {
        Ok(all) => all.items,
        Err(kube::Error::Api(status)) if status.code == 403 => {
            match api.get_metadata_opt(&cluster.namespace).await {
                Ok(own) => own.into_iter().collect(),
                Err(kube::Error::Api(status)) if status.code == 403 => Vec::new(),
                Err(error) => return Err(cluster.failure(error)),
            }
        }
        Err(error) => return Err(cluster.failure(error)),
    };
    let account = |name: String, annotations: &std::collections::BTreeMap<String, String>| {
        Some((annotations.get(ALIBABA_ACCOUNT)?.clone(), name))
    };
    Ok(found
        .iter()
        .filter_map(|object| account(object.name_any(), object.annotations()))
        .collect())
}

/// A name of its own for each policy and what it is for: applying one never replaces another.
fn object_name(target: &PolicyTarget, policy: &str) -> String {
    let (kind, names) = match target {
        PolicyTarget::ServiceAccounts(names) => ("serviceaccounts", names),
        PolicyTarget::Secrets(names) => ("secrets", names),
    };
    let mut hasher = Sha256::new();
    for part in [kind, policy].into_iter().chain(names.iter().map(String::as_str)) {
        hasher.update((part.len() as u64).to_be_bytes());
        hasher.update(part);
    }
    let digest = hasher.finalize();
    format!("ram-{}", HEXLOWER.encode(digest.get(..4).unwrap_or_default()))
}

fn manifest(namespace: &str, name: &str, imported: &ImportedPolicy) -> Result<Value, Failure> {
    let spec = serde_json::to_value(&imported.spec).map_err(|error| Failure::Malformed(error.to_string()))?;
    Ok(json!({
        "apiVersion": "strongroom.dev/v1alpha1",
        "kind": "SecretPolicy",
        "metadata": {"name": name, "namespace": namespace, "annotations": imported.annotations},
        "spec": spec,
    }))
}

pub(super) async fn export(arguments: &Export, cluster: &Cluster, out: &Output) -> Result<(), Failure> {
    let policy = match (&arguments.name, &arguments.file) {
        (Some(name), _) => {
            let api: Api<SecretPolicy> = Api::namespaced(cluster.client.clone(), &cluster.namespace);
            api.get(name).await.map_err(|error| cluster.failure(error))?
        }
        (None, Some(path)) => from_manifest(&text(path)?)?,
        (None, None) => return Err(Failure::Input("name the SecretPolicy, or give a file".to_owned())),
    };
    let text = exported(&cluster.namespace, &policy)?;
    out.raw(text.as_bytes())
}

fn from_manifest(text: &str) -> Result<SecretPolicy, Failure> {
    match parse_manifest(text) {
        Ok(Manifest::SecretPolicy(policy)) => Ok(*policy),
        Ok(_) => Err(Failure::Input("the file holds no SecretPolicy".to_owned())),
        Err(error) => Err(Failure::Input(error.to_string())),
    }
}

/// The policy of RAM; of an object without a namespace, as one of this one.
fn exported(namespace: &str, policy: &SecretPolicy) -> Result<String, Failure> {
    let own = policy.metadata.namespace.as_deref();
    ram_policy::export(own.unwrap_or(namespace), &policy.spec, policy.annotations())
        .map_err(|error| Failure::Input(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::yaml;

    const POLICIES: [&str; 3] = [
        r#"{ "Statement": [{ "Action": [ "kms:List*", "kms:Describe*", "kms:GetSecretValue" ], "Effect": "Allow", "Principal": { "RAM": [ "acs:ram::190325303126****:user/key_ramuser3" ] }, "Resource": [ "acs:kms:cn-hangzhou:123456789012****:secret/ai-gateway!secret-name" ] }], "Version": "1" }"#,
        "{\n\t\"Version\": \"1\",\r\n  \"Statement\": [{\"Sid\": \"it's: # %\\u00fc\u{202e}\", \"Effect\": \"Deny\", \"Action\": \"*\",\n\n   \"Principal\": {\"RAM\": \"acs:ram::1:root\"}, \"Resource\": \"*\"}]\n}\n\n",
        "{\"Version\": \"1\", \"Statement\": {\"Effect\": \"Deny\", \"Action\": \"*\", \"Principal\": {\"RAM\": \"acs:ram::1:root\"}, \"Resource\": \"*\"}}\n",
    ];

    /// The manifest is what people keep in Git: a policy comes back out of it byte for byte.
    #[test]
    fn a_policy_comes_back_out_of_the_manifest_as_it_was_written() {
        let target = PolicyTarget::Secrets(vec!["ai-gateway!secret-name".to_owned()]);
        for text in POLICIES {
            let imported = ram_policy::import(text, "pay", &target, &RamAccounts::default()).unwrap();
            let object = manifest("pay", "p", &imported).unwrap();
            for printed in [yaml(&object).unwrap(), object.to_string()] {
                let read = from_manifest(&printed).unwrap();
                assert_eq!(exported("elsewhere", &read).unwrap(), text, "{printed}");
            }
        }
    }

    #[test]
    fn names_differ_by_the_policy_and_by_what_it_is_for() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut all: Vec<String> = [
            (PolicyTarget::Secrets(names(&["a", "b"])), "x"),
            (PolicyTarget::Secrets(names(&["ab"])), "x"),
            (PolicyTarget::ServiceAccounts(names(&["ab"])), "x"),
            (PolicyTarget::Secrets(names(&["ab"])), "y"),
        ]
        .iter()
        .map(|(target, policy)| object_name(target, policy))
        .collect();
        assert!(
            all.iter()
                .all(|name| name.len() == 12 && name.starts_with("ram-")),
            "{all:?}"
        );
        all.sort();
        all.dedup();
        assert_eq!(all.len(), 4);
    }

    #[test]
    fn arguments_say_how_they_are_written() {
        assert_eq!(service_account("serviceaccount/a").unwrap(), "a");
        assert_eq!(service_account("sa/a").unwrap(), "a");
        for bad in ["a", "user/a", "serviceaccount/"] {
            assert!(service_account(bad).is_err(), "{bad}");
        }
        let read = accounts(&["123456789012****=pay".to_owned()]).unwrap();
        assert_eq!(read.namespace("123456789012****"), Some("pay"));
        for bad in ["pay", "*=pay", "1=Pay"] {
            assert!(accounts(&[bad.to_owned()]).is_err(), "{bad}");
        }
    }
}
