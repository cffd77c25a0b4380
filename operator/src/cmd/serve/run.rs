//! From the arguments to the role.

use strongroom_process::{init_logging, raise_open_files_limit};

use super::arguments::{Arguments, ProcessArguments, Role};
use super::{extension_api, store, webhook};
use crate::cmd::CommandError;
use crate::serve::roles::ProcessSettings;

pub(in crate::cmd) async fn run(arguments: Arguments) -> Result<(), CommandError> {
    let Arguments {
        roles,
        process:
            ProcessArguments {
                namespace,
                http_listen,
                log_format,
                log_filter,
            },
        services,
        store: store_arguments,
        extension_api: extension_api_arguments,
        webhook: webhook_arguments,
    } = arguments;
    init_logging(log_format.into(), &log_filter)?;
    if let Err(error) = raise_open_files_limit() {
        tracing::warn!(%error, "the limit of open files cannot be raised");
    }
    let process = ProcessSettings {
        namespace,
        http_listen,
    };
    match roles {
        Role::Store => store::run(process, services, store_arguments).await,
        Role::Front => extension_api::run(process, services, extension_api_arguments).await,
        Role::Webhook => webhook::run(process, services, webhook_arguments).await,
    }
}
