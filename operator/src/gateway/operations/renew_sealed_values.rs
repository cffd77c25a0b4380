//! RenewSealedValues: `POST /v1/namespaces/{namespace}/clusterkeys`: sealed texts of a manifest, sealed anew
//! for the newest key.
//!
//! Whoever has a text may have it renewed: nothing of the value leaves, and the new text belongs where the
//! old one did. The request is audited. A body has room for a thousand texts, each of which is opened and
//! sealed, so that is done by turns of those who ask, and behind other requests.

use std::collections::BTreeMap;

use strongroom_api::v1::SealedTexts;
use strongroom_model::name::SecretName;
use strongroom_store::audit::{self, AuditOutcome};
use strongroom_store::vault::AuditNote;

use crate::cluster_keys::{SealedValueLocation, UnsealError};
use crate::gateway::Gateway;
use crate::gateway::operation::{Input, NamespaceText, NoQuery};
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, record};

pub(super) async fn run(
    context: OperationContext,
    input: Input<NamespaceText, NoQuery, SealedTexts>,
) -> Result<SealedTexts, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input {
        path: NamespaceText(namespace),
        body: texts,
        ..
    } = input;
    let (turn, scans) = (request.turn(), gateway.scans.clone());
    let work = move || -> Result<SealedTexts, Problem> {
        let outcome = renewed(&gateway, &namespace, &texts);
        let secret: Option<SecretName> = texts.name.parse().ok();
        let note = AuditNote {
            outcome: match &outcome {
                Ok(_) => AuditOutcome::Done,
                Err(problem) => AuditOutcome::Refused(problem.code().as_str().to_owned()),
            },
            namespace: namespace.parse().ok(),
            detail: match &secret {
                Some(_) => format!("{} keys", texts.keys.len()),
                None => format!(
                    "{} keys, {}",
                    texts.keys.len(),
                    record::impossible_name(&texts.name)
                ),
            },
            secret,
            ..AuditNote::new(audit::Action::RenewSealedValues)
        };
        record::now(&gateway, note, &request.meta(&[]))?;
        let keys = outcome?;
        Ok(SealedTexts { keys, ..texts })
    };
    let answer = scans.run(&turn, work).await;
    answer.map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(1))?
}

fn renewed(
    gateway: &Gateway,
    namespace: &str,
    texts: &SealedTexts,
) -> Result<BTreeMap<String, String>, Problem> {
    let mut keys = BTreeMap::new();
    for (key, text) in &texts.keys {
        let belongs = SealedValueLocation {
            namespace,
            secret: &texts.name,
            key,
        };
        let bytes = gateway
            .cluster_keys
            .open(text, &belongs)
            .map_err(|error| match error {
                UnsealError::NotLoaded => Problem::cluster_keys_not_loaded(),
                UnsealError::Malformed { .. }
                | UnsealError::OtherKey { .. }
                | UnsealError::Elsewhere { .. } => invalid(error),
            })?;
        let text = gateway.cluster_keys.seal(&bytes, &belongs).map_err(invalid)?;
        keys.insert(key.clone(), text);
    }
    Ok(keys)
}
