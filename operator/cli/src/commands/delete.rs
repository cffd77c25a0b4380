//! `delete`.

use std::ops::RangeInclusive;

use http::Method;
use strongroom_api::v1::DeleteSecretAnswer;
use strongroom_model::RECOVERY_WINDOW_DAYS;

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, cell_of};

/// Deletes a secret; it can be restored until its recovery window ends
///
/// Its ManagedSecret and its native Secret are deleted at once. Example: kubectl strongroom delete partner
/// --recovery-window-days 30
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// Days in which it can be restored; default: as its ManagedSecret says
    #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(days()))]
    recovery_window_days: Option<u32>,
}

/// As many as a recovery window may have.
fn days() -> RangeInclusive<i64> {
    i64::from(*RECOVERY_WINDOW_DAYS.start())..=i64::from(*RECOVERY_WINDOW_DAYS.end())
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let query: Vec<(&str, String)> = arguments
        .recovery_window_days
        .iter()
        .map(|days| ("recoveryWindowDays", days.to_string()))
        .collect();
    let answer: DeleteSecretAnswer = client
        .change_by_path(Method::DELETE, &arguments.name, "", &query)
        .await?;
    let until = cell_of(&answer.deletion);
    let (namespace, name) = (client.namespace(), &arguments.name);
    out.tell(&answer, &format!("{namespace}/{name} was deleted; `kubectl strongroom restore {name} -n {namespace}` restores it until {until}"))
}
