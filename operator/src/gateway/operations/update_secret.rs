//! UpdateSecret: `PATCH /v1/namespaces/{namespace}/secrets/{name}`: description and labels, as a JSON merge
//! patch (RFC 7396). They stand in the ManagedSecret; what somebody else keeps there is not overwritten.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::Json;
use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::http::Method;
use axum::http::StatusCode;
use axum::routing::patch;
use kube::ResourceExt;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use strongroom_crds::v1alpha1::ManagedSecret;
use strongroom_rules::policy::Action;
use strongroom_store::vault::{Refusal, SecretState, SecretView, UpdateSecret};

use super::change::{ChangeError, SecretChange};
use super::get_secret_value::invalid;
use super::incoming::{parse_body, read_body};
use super::shape::{self, SecretAnswer};
use crate::controllers::managed_secret::labels;
use crate::gateway::access::RequestContext;
use crate::gateway::objects::{ObjectClient, managed_elsewhere, refuse_other_owner};
use crate::gateway::operation::{LABEL_PATTERN, Operation};
use crate::gateway::problem::{Code, Problem};
use crate::gateway::{Gateway, blocking};

/// Longest description, in characters: as in the ManagedSecret.
const MAX_DESCRIPTION_CHARS: usize = 500;

/// How often an object that changes in between is looked at.
const MAX_ATTEMPTS: usize = 5;

/// What is sent.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "UpdateSecretRequest")]
struct Body {
    /// Null removes it.
    #[serde(default, deserialize_with = "some")]
    #[schemars(with = "Option<String>", length(min = 1, max = 500))]
    description: Option<Option<String>>,
    /// Null removes a label.
    #[serde(default)]
    #[schemars(extend(
        "maxProperties" = 48,
        "propertyNames" = {"pattern": LABEL_PATTERN},
        "additionalProperties" = {"type": ["string", "null"], "pattern": LABEL_PATTERN}
    ))]
    labels: BTreeMap<String, Option<String>>,
}

/// Tells `null` from a field that is not there.
fn some<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Deserialize::deserialize(deserializer).map(Some)
}

pub(in crate::gateway) fn operation() -> Operation {
    Operation::new(
        "UpdateSecret",
        "/v1/namespaces/{namespace}/secrets/{name}",
        patch(serve),
    )
    .method(Method::PATCH)
    .about("Changes description and labels; null removes")
    .takes::<Body>()
    .answers::<SecretAnswer>(StatusCode::OK)
}

async fn serve(
    State(gateway): State<Arc<Gateway>>,
    asking: RequestContext,
    path: Result<Path<(String, String)>, PathRejection>,
    body: axum::body::Body,
) -> Result<Json<SecretAnswer>, Problem> {
    let Path((namespace, name)) = path.map_err(invalid)?;
    let place = gateway
        .admit_write(&asking, Action::UpdateSecret, namespace)
        .await?;
    let body = read_body(body).await?;
    let body: Body = parse_body(&body, &["description", "labels"])?;
    let labels = body
        .labels
        .iter()
        .filter_map(|(label, value)| Some((label, value.as_ref()?)));
    metadata_fits(body.description.as_ref().and_then(Option::as_deref), labels)?;
    body.labels.keys().try_for_each(|label| label_fits(label))?;
    let (change, secret) =
        SecretChange::for_secret(gateway, asking, place, name, Action::UpdateSecret).await?;
    let outcome = update(&change, &secret, body).await;
    change.settle(outcome).await
}

/// Whether the ManagedSecret can say this.
pub(super) fn metadata_fits<'a>(
    description: Option<&str>,
    labels: impl Iterator<Item = (&'a String, &'a String)>,
) -> Result<(), Problem> {
    if description.is_some_and(|text| text.is_empty() || text.chars().count() > MAX_DESCRIPTION_CHARS) {
        return Err(invalid(
            "`description` must have 1 to 500 characters; null removes it",
        ));
    }
    for (label, value) in labels {
        label_fits(label)?;
        // https://kubernetes.io/docs/concepts/overview/working-with-objects/labels/#syntax-and-character-set
        let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
        let ends = |byte: Option<&u8>| byte.is_none_or(u8::is_ascii_alphanumeric);
        let bytes = value.as_bytes();
        if bytes.len() > 63
            || !bytes.iter().copied().all(plain)
            || !ends(bytes.first())
            || !ends(bytes.last())
        {
            return Err(invalid(format!(
                "the value of label `{label}` is not a valid Kubernetes label value: use at most 63 letters, digits, `-`, `_`, `.`"
            )));
        }
    }
    Ok(())
}

fn label_fits(label: &str) -> Result<(), Problem> {
    let (prefix, name) = label.rsplit_once('/').unwrap_or(("", label));
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    let fits = !name.is_empty() && name.len() <= 63 && name.bytes().all(plain) && prefix.len() <= 253;
    if !fits || label.starts_with("strongroom.dev/") {
        return Err(invalid(
            "a label needs a valid Kubernetes label name, and not `strongroom.dev/…`",
        ));
    }
    Ok(())
}

async fn update(
    change: &SecretChange,
    secret: &SecretView,
    body: Body,
) -> Result<Json<SecretAnswer>, ChangeError> {
    if let SecretState::PendingDeletion { until, .. } = secret.state {
        return Err(Refusal::InRecoveryWindow { until }.into());
    }
    let changed = declared(change, secret, &body).await?;
    let command = UpdateSecret {
        secret: secret.id,
        description: Some(changed.spec.description.clone().unwrap_or_default()),
        labels: Some(labels::replace_user_labels(&secret.labels, changed.labels())),
        key: None,
    };
    let view = change.run(command).await?;
    let (gateway, namespace) = (Arc::clone(&change.gateway), change.place.name.clone());
    Ok(blocking(move || {
        let key = gateway.key(&view)?;
        Ok(Json(shape::secret(&namespace, &view, key.as_ref())))
    })
    .await?)
}

/// The ManagedSecret, changed. The controller writes its status meanwhile, so it is looked at again where it
/// changed in between.
async fn declared(
    change: &SecretChange,
    secret: &SecretView,
    body: &Body,
) -> Result<ManagedSecret, ChangeError> {
    let objects = ObjectClient::<ManagedSecret>::new(&change.gateway, &change.place.name);
    for _ in 0..MAX_ATTEMPTS {
        let object = objects.declaring(secret).await?.ok_or_else(|| {
            managed_elsewhere(
                "ManagedSecret",
                secret.name.as_str(),
                "no object declares the secret",
            )
        })?;
        if body.description.is_some() {
            refuse_other_owner(&object, &["spec", "description"])?;
        }
        for label in body.labels.keys() {
            refuse_other_owner(&object, &["metadata", "labels", label])?;
        }
        let mut patch = json!({"metadata": {"labels": body.labels}});
        if let (Some(description), Some(patch)) = (&body.description, patch.as_object_mut()) {
            patch.insert("spec".to_owned(), json!({"description": description}));
        }
        if let Some(changed) = objects.merge(&object, patch).await? {
            return Ok(changed);
        }
    }
    let why = "somebody else keeps changing the object at the same time; try again";
    Err(Problem::new(Code::ClusterUnavailable, why).retry_after(1).into())
}
