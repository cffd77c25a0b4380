//! The extension API server, through which people reach the API.

use super::ProcessSettings;
use crate::gateway::extension_api::{self, ExtensionApiMetrics, ExtensionApiSettings};
use crate::serve::{ServeError, storeless};

/// Serves until asked to stop, or until it must.
///
/// # Errors
/// [`ServeError`].
pub(crate) async fn run(process: ProcessSettings, settings: ExtensionApiSettings) -> Result<(), ServeError> {
    let serve = async |around, metrics| extension_api::run(settings, around, metrics).await;
    storeless::run("front", process, ExtensionApiMetrics::register, serve).await
}
