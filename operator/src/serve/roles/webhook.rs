//! The webhook that attests who writes objects and adds variables to pods.

use super::ProcessSettings;
use crate::serve::{ServeError, storeless};
use crate::webhook::{self, WebhookMetrics, WebhookSettings};

/// Serves until asked to stop, or until it must.
///
/// # Errors
/// [`ServeError`].
pub(crate) async fn run(process: ProcessSettings, settings: WebhookSettings) -> Result<(), ServeError> {
    let serve = async |around, metrics| webhook::run(settings, around, metrics).await;
    storeless::run("webhook", process, WebhookMetrics::register, serve).await
}
