//! `product`.

use std::time::Duration;

use kube::api::{ListParams, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde::Serialize;
use serde_json::json;
use strongroom_crds::annotation::ADOPT_PRODUCT;
use strongroom_crds::condition::ConditionType;
use strongroom_crds::v1alpha1::{ProductHosting, SecretProduct};

use super::delivery::parse_wait;
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::{Output, Table, cell_of};

/// Lists the products that own default secrets, and accepts one that is not as it was
///
/// They are custom resources of the whole cluster: users who may see them with kubectl may see them here.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Arguments {
    /// Lists the SecretProducts, with how many secrets they own
    List,
    /// Accepts a product with other managers than its secrets were made by, and returns when it may write
    /// again
    ///
    /// Look at its managers first: they get every right over the product's secrets in all namespaces. It
    /// needs the verb `manage` on the SecretProduct. Example: kubectl strongroom product adopt pg
    Adopt(AdoptArguments),
}

/// Which product, and how long to wait.
#[derive(Debug, clap::Args)]
pub(crate) struct AdoptArguments {
    /// The SecretProduct, by its code
    code: String,
    /// How long to wait until it has taken effect; 0s: do not wait
    #[arg(long, value_name = "TIME", default_value = "10s", value_parser = parse_wait)]
    wait: Duration,
}

/// How often to look.
const POLL_INTERVAL: Duration = Duration::from_millis(100);

pub(crate) async fn run(arguments: &Arguments, cluster: &Cluster, out: &Output) -> Result<(), Failure> {
    let api: Api<SecretProduct> = Api::all(cluster.client.clone());
    match arguments {
        Arguments::List => list(cluster, &api, out).await,
        Arguments::Adopt(adopt) => self::adopt(cluster, &api, adopt, out).await,
    }
}

async fn list(cluster: &Cluster, api: &Api<SecretProduct>, out: &Output) -> Result<(), Failure> {
    let products = api
        .list(&ListParams::default())
        .await
        .map_err(|error| cluster.failure(error))?;
    if products.items.is_empty() {
        out.progress("no SecretProduct in the cluster");
    }
    let products: Vec<ListedProduct> = products.iter().map(listed).collect();
    out.print(&json!({"products": products}), || {
        let mut table = Table::new(&[
            "CODE", "HOSTING", "USED", "QUOTA", "GATEWAY", "READY", "REASON", "MANAGERS",
        ]);
        for product in &products {
            table.row(vec![
                cell_of(&product.code),
                cell_of(&product.hosting),
                cell_of(&product.used),
                cell_of(&product.quota),
                cell_of(&product.gateway),
                cell_of(&product.ready),
                cell_of(&product.reason),
                cell_of(&product.managers),
            ]);
        }
        table
    })
}

/// A row of `product list -o json`.
#[derive(Debug, Serialize)]
struct ListedProduct<'a> {
    code: String,
    hosting: &'a [ProductHosting],
    used: Option<i64>,
    quota: Option<i64>,
    gateway: Option<&'a str>,
    ready: Option<&'a str>,
    reason: Option<&'a str>,
    managers: Vec<String>,
}

fn listed(product: &SecretProduct) -> ListedProduct<'_> {
    let (spec, status) = (&product.spec, product.status.as_ref());
    let mut conditions = status.iter().flat_map(|status| &status.conditions);
    let ready = conditions.find(|condition| condition.type_ == ConditionType::Ready.as_str());
    let managers = spec.managers.iter();
    let managers: Vec<String> = managers
        .map(|manager| format!("{}/{}", manager.namespace, manager.name))
        .collect();
    ListedProduct {
        code: product.name_any(),
        hosting: &spec.hosting,
        used: status.and_then(|status| status.used).map(|used| used.secrets),
        quota: status.and_then(|status| status.quota),
        gateway: spec.paid.as_ref().and_then(|paid| paid.gateway.as_deref()),
        ready: ready.map(|condition| condition.status.as_str()),
        reason: ready.map(|condition| condition.reason.as_str()),
        managers,
    }
}

async fn adopt(
    cluster: &Cluster,
    api: &Api<SecretProduct>,
    adopt: &AdoptArguments,
    out: &Output,
) -> Result<(), Failure> {
    let code = &adopt.code;
    let product = api.get(code).await.map_err(|error| cluster.failure(error))?;
    let Some(token) = adoption_token(&product) else {
        return Err(Failure::Input(format!(
            "product {code} is the one that its secrets were made by, so there is nothing to adopt; its condition Ready says {}",
            cell_of(&listed(&product).reason)
        )));
    };
    // Whoever changed it in between is looked at before it is adopted.
    let patch = json!({"metadata": {
        "resourceVersion": product.resource_version(),
        "annotations": {ADOPT_PRODUCT: token},
    }});
    let params = PatchParams {
        field_manager: Some("kubectl-strongroom".to_owned()),
        ..PatchParams::default()
    };
    let mut product = api
        .patch(code, &params, &Patch::Merge(&patch))
        .await
        .map_err(|error| cluster.failure(error))?;
    let deadline = tokio::time::Instant::now() + adopt.wait;
    while adoption_token(&product).is_some() && tokio::time::Instant::now() < deadline {
        tokio::time::sleep(POLL_INTERVAL).await;
        product = api.get(code).await.map_err(|error| cluster.failure(error))?;
    }
    let done = adoption_token(&product).is_none();
    if !done && !adopt.wait.is_zero() {
        return Err(Failure::NotDelivered(format!(
            "product {code} is annotated, and after {} s no controller has accepted it; see `kubectl strongroom status`",
            adopt.wait.as_secs()
        )));
    }
    let what = if done {
        "is adopted: its managers write its secrets again"
    } else {
        "is being adopted"
    };
    let answer = json!({"code": code, "done": done});
    out.tell(&answer, &format!("product {code} {what}"))
}

/// What accepts the product as it is; none where nothing has to be accepted.
fn adoption_token(product: &SecretProduct) -> Option<&str> {
    product.status.as_ref()?.adoption_token.as_deref()
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    fn product(status: &Value) -> SecretProduct {
        serde_json::from_value(json!({
            "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretProduct",
            "metadata": {"name": "pg"},
            "spec": {"managers": [{"namespace": "pg-operator", "name": "pg"}], "hosting": ["Free"]},
            "status": status,
        }))
        .unwrap()
    }

    fn listed_json(product: &SecretProduct) -> Value {
        serde_json::to_value(listed(product)).unwrap()
    }

    #[test]
    fn a_product_is_listed_with_what_its_status_says_and_before_it_has_one() {
        let seen = listed_json(&product(&json!({
            "quota": 500, "used": {"secrets": 41},
            "conditions": [{"type": "Ready", "status": "True", "reason": "Ready", "message": "m",
                "lastTransitionTime": "2026-11-23T20:22:00Z"}],
        })));
        assert_eq!(seen["used"], 41);
        assert_eq!(seen["reason"], "Ready");
        assert_eq!(seen["managers"], json!(["pg-operator/pg"]));
        let fresh = listed_json(&product(&Value::Null));
        assert_eq!((&fresh["used"], &fresh["ready"]), (&Value::Null, &Value::Null));
    }

    #[test]
    fn only_a_product_that_waits_for_it_is_adopted() {
        let waits = product(&json!({"adoptionToken": "t"}));
        assert_eq!(adoption_token(&waits), Some("t"));
        assert_eq!(adoption_token(&product(&json!({}))), None);
        assert_eq!(adoption_token(&product(&Value::Null)), None);
    }
}
