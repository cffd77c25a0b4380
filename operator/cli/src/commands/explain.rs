//! `explain`.

use strongroom_api::v1::ExplainAccessAnswer;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::Output;

/// Explains why access is allowed or denied, and what is missing
///
/// Shows the decision, the statements behind it, the state of the secret and of its key, and the YAML that
/// would allow it. Examples:
///
///   kubectl strongroom explain shop/checkout GetSecretValue db-main
///
///   kubectl strongroom explain me PutSecretValue partner
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// A ServiceAccount as `namespace/name`, a user name as the API server knows it, or `me`
    principal: String,
    /// The action, such as GetSecretValue
    action: String,
    /// The secret, by its name in the store
    secret: String,
    /// The stage of the version that would be read
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let mut query = vec![("action", arguments.action.clone())];
    if arguments.principal != "me" {
        query.push(("principal", arguments.principal.clone()));
    }
    query.extend(arguments.stage.iter().map(|stage| ("stage", stage.clone())));
    let answer: ExplainAccessAnswer = client.read(&arguments.secret, "/access", &query).await?;
    let mut text = answer.explanation.trim_end().to_owned();
    text.push_str(&format!("\nthe secret: {}", answer.secret));
    if let Some(key) = &answer.key {
        text.push_str(&format!("\nits key: {key}"));
    }
    if let Some(product) = &answer.product {
        text.push_str(&format!("\nits product: {product}"));
    }
    for (index, policy) in answer.missing_policies.iter().enumerate() {
        let what = if index == 0 {
            "this would allow it:"
        } else {
            "and:"
        };
        text.push_str(&format!("\n{what}\n---\n{}", policy.trim_end()));
    }
    out.decision(&answer, answer.allowed, &text)
}
