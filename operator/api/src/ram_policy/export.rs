//! From a SecretPolicy to a policy of RAM: the one that it was imported from, as long as it says just that,
//! or else one that says the same.

use std::collections::BTreeMap;

use strongroom_crds::annotation::{RAM_ACCOUNTS, RAM_POLICY};
use strongroom_crds::v1alpha1::{PolicyEffect, PolicyPrincipal, PolicyStatement, SecretPolicySpec};
use strongroom_model::RamPrincipal;

use super::accounts::RamAccounts;
use super::import::{PolicyTarget, import};
use super::json_text::JsonText;
use super::{RAM_POLICY_BYTES, action, condition, resource};

/// A SecretPolicy says something that no policy of RAM can. Fields are those of the SecretPolicy.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RamExportError {
    /// It is attached to nothing, or to both.
    #[error("spec: set exactly one of identities, secrets")]
    Attachment,
    /// The accounts that it was imported with cannot be read.
    #[error("metadata.annotations[`{annotation}`]: {why}", annotation = RAM_ACCOUNTS)]
    Accounts {
        /// What of the annotation cannot be read.
        why: super::RamAccountsError,
    },
    /// A principal that is nobody's of RAM.
    #[error(
        "{place}: a principal of the kind `{kind}` is nobody in RAM; only `ram`, and `serviceAccount` without patterns of names, can be exported"
    )]
    Principal {
        /// As in `spec.statements[0].principals[1]`.
        place: String,
        /// The field of the principal.
        kind: &'static str,
    },
    /// An action that KMS does not have.
    #[error("{place}: KMS has no action like `{action}`")]
    Action {
        /// Path of the list in the policy, as in `spec.statements[0].actions`.
        place: String,
        /// As the policy has it.
        action: String,
    },
    /// A resource that no resource of KMS stands for.
    #[error("{place}: no resource of KMS stands for `{resource}`")]
    Resource {
        /// The list's entry.
        place: String,
        /// As the policy has it.
        resource: String,
    },
    /// A list that a policy of its kind has.
    #[error("{place}: it is missing")]
    Missing {
        /// Path where the list would be, as in `spec.statements[0].actions`.
        place: String,
    },
    /// A condition that RAM does not have.
    #[error("{place}: RAM has no such condition")]
    Condition {
        /// As in `spec.statements[0].conditions.window`.
        place: String,
    },
    /// RAM takes no policy of this length.
    #[error("the policy would have {0} bytes, and at most {most} can be read again; split it", most = RAM_POLICY_BYTES)]
    TooLarge(usize),
}

/// Writes a SecretPolicy of this namespace as a policy of RAM.
///
/// # Errors
/// [`RamExportError`] where RAM cannot say the same.
pub fn export(
    namespace: &str,
    spec: &SecretPolicySpec,
    annotations: &BTreeMap<String, String>,
) -> Result<String, RamExportError> {
    let target = match (&spec.identities, &spec.secrets) {
        (Some(identities), None) => PolicyTarget::ServiceAccounts(identities.service_accounts.clone()),
        (None, Some(secrets)) => PolicyTarget::Secrets(secrets.clone()),
        _ => return Err(RamExportError::Attachment),
    };
    let accounts = match annotations.get(RAM_ACCOUNTS) {
        Some(text) => text
            .parse::<RamAccounts>()
            .map_err(|why| RamExportError::Accounts { why })?,
        None => RamAccounts::default(),
    };
    let original = annotations.get(RAM_POLICY).filter(|text| {
        let imported = import(text, namespace, &target, &accounts);
        imported.is_ok_and(|imported| imported.spec == *spec)
    });
    if let Some(original) = original {
        return Ok(original.clone());
    }
    let exporter = Exporter {
        namespace,
        accounts: &accounts,
        target: &target,
    };
    let statements = spec.statements.iter().enumerate();
    let statements = statements
        .map(|(index, statement)| exporter.statement(&format!("spec.statements[{index}]"), statement))
        .collect::<Result<Vec<_>, _>>()?;
    let policy = JsonText::Object(vec![
        ("Version", "1".into()),
        ("Statement", JsonText::List(statements)),
    ]);
    let text = format!("{policy}\n");
    if text.len() > RAM_POLICY_BYTES {
        return Err(RamExportError::TooLarge(text.len()));
    }
    Ok(text)
}

/// Whether a statement allows something with keys.
pub(super) fn allows_keys(statement: &PolicyStatement) -> bool {
    let mut resources = statement.resources.iter().flatten();
    statement.effect == PolicyEffect::Allow
        && resources.any(|text| {
            text.rsplit(':')
                .next()
                .is_some_and(|text| text.starts_with("key/"))
        })
}

/// What the statements of one policy have in common.
struct Exporter<'a> {
    namespace: &'a str,
    accounts: &'a RamAccounts,
    target: &'a PolicyTarget,
}

impl Exporter<'_> {
    fn statement(&self, place: &str, statement: &PolicyStatement) -> Result<JsonText, RamExportError> {
        let mut members: Vec<(&'static str, JsonText)> = Vec::new();
        if let Some(sid) = &statement.sid {
            members.push(("Sid", sid.as_str().into()));
        }
        let effect = match statement.effect {
            PolicyEffect::Allow => "Allow",
            PolicyEffect::Deny => "Deny",
        };
        members.push(("Effect", effect.into()));
        // KMS does more with keys than there is here, and a pattern would allow that.
        let in_full = allows_keys(statement).then(|| action::in_full(&statement.actions));
        let actions = in_full.as_deref().unwrap_or(&statement.actions);
        let actions = action::export(actions).map_err(|action| RamExportError::Action {
            place: format!("{place}.actions"),
            action: action.to_owned(),
        })?;
        let actions = ("Action", actions.into_iter().collect());
        let missing = |list: &str| RamExportError::Missing {
            place: format!("{place}.{list}"),
        };
        match self.target {
            PolicyTarget::ServiceAccounts(_) => {
                let resources = statement.resources.as_ref().ok_or_else(|| missing("resources"))?;
                members.push(actions);
                members.push(("Resource", self.resources((place, statement.effect), resources)?));
            }
            PolicyTarget::Secrets(_) => {
                let principals = statement.principals.as_ref();
                let principals = principals.ok_or_else(|| missing("principals"))?;
                let principals = self.principals(place, principals)?;
                members.push(("Principal", JsonText::Object(vec![("RAM", principals)])));
                members.push(actions);
                members.push(("Resource", "*".into()));
            }
        }
        if let Some(conditions) = &statement.conditions {
            let conditions = condition::export(conditions).map_err(|field| RamExportError::Condition {
                place: format!("{place}.conditions.{field}"),
            })?;
            let conditions = conditions.into_iter().map(|(operator, key, values)| {
                (
                    operator,
                    JsonText::Object(vec![(key, values.into_iter().collect())]),
                )
            });
            let conditions: Vec<(&'static str, JsonText)> = conditions.collect();
            if !conditions.is_empty() {
                members.push(("Condition", JsonText::Object(conditions)));
            }
        }
        Ok(JsonText::Object(members))
    }

    fn resources(
        &self,
        (place, effect): (&str, PolicyEffect),
        resources: &[String],
    ) -> Result<JsonText, RamExportError> {
        let resources = resources.iter().enumerate();
        resources
            .map(|(index, text)| {
                let exported = resource::export(text, (self.namespace, effect), self.accounts);
                exported.ok_or_else(|| RamExportError::Resource {
                    place: format!("{place}.resources[{index}]"),
                    resource: text.clone(),
                })
            })
            .collect()
    }

    fn principals(&self, place: &str, principals: &[PolicyPrincipal]) -> Result<JsonText, RamExportError> {
        let principals = principals.iter().enumerate();
        principals
            .map(|(index, principal)| {
                let refused = |kind: &'static str| RamExportError::Principal {
                    place: format!("{place}.principals[{index}]"),
                    kind,
                };
                match principal {
                    PolicyPrincipal::Ram(text) => Ok(text.clone()),
                    PolicyPrincipal::ServiceAccount(text) => self
                        .service_account(text)
                        .ok_or_else(|| refused("serviceAccount")),
                    PolicyPrincipal::User(_) => Err(refused("user")),
                    PolicyPrincipal::Group(_) => Err(refused("group")),
                    // Its managers are a fact of this cluster, and change with the SecretProduct.
                    PolicyPrincipal::Product(_) => Err(refused("product")),
                }
            })
            .collect()
    }

    /// A ServiceAccount as a role, or all of a namespace as its account; none where it is neither.
    fn service_account(&self, text: &str) -> Option<String> {
        let (namespace, name) = text.split_once('/').unwrap_or((self.namespace, text));
        // Its own name may be the account of another namespace.
        let own = Some(namespace).filter(|name| self.accounts.namespace(name).is_none());
        let account = self.accounts.account(namespace).or(own)?;
        let principal = match name {
            "*" => format!("acs:ram::{account}:root"),
            name => format!("acs:ram::{account}:role/{name}"),
        };
        // A `*` in a namespace would be one of an account, and mean itself.
        let is_one = !namespace.contains('*') && principal.parse::<RamPrincipal>().is_ok();
        is_one.then_some(principal)
    }
}
