//! The commands, one file each: arguments, the request, and how its answer looks.

pub(crate) mod audit;
pub(crate) mod completion;
pub(crate) mod consumers;
pub(crate) mod create;
pub(crate) mod delete;
mod delivery;
pub(crate) mod describe;
pub(crate) mod explain;
pub(crate) mod get;
pub(crate) mod history;
pub(crate) mod key;
pub(crate) mod list;
pub(crate) mod policy;
pub(crate) mod product;
pub(crate) mod purge;
pub(crate) mod put;
pub(crate) mod render;
pub(crate) mod restore;
pub(crate) mod rotate;
mod rotate_read;
pub(crate) mod seal;
pub(crate) mod stage;
pub(crate) mod status;
pub(crate) mod versions;

use crate::api_client::ApiClient;
use crate::arguments::{Arguments, Command};
use crate::cluster::Cluster;
use crate::failure::Failure;
use crate::output::Output;

/// Carries out what the command line says.
pub(crate) async fn run(mut arguments: Arguments) -> Result<(), Failure> {
    let out = Output::from_argument(arguments.output);
    if out.csv && !matches!(arguments.command, Command::Audit(_)) {
        let why = "`--output csv` is an output of `audit` alone; use `json`";
        return Err(Failure::Input(why.to_owned()));
    }
    if let Command::Completion(arguments) = arguments.command {
        return completion::run(&arguments);
    }
    if let Command::Seal(seal) = &arguments.command
        && seal.is_offline()
    {
        return seal::offline(seal, arguments.cluster.namespace.as_deref(), &out);
    }
    if let Command::Explain(explain) = &mut arguments.command {
        explain.take_account(&mut arguments.cluster);
    }
    let client = ApiClient {
        cluster: Cluster::from_arguments(&arguments.cluster).await?,
    };
    match arguments.command {
        Command::List(arguments) => list::run(&arguments, &client, &out).await,
        Command::Describe(arguments) => describe::run(&arguments, &client, &out).await,
        Command::Get(arguments) => get::run(&arguments, &client, &out).await,
        Command::Render(arguments) => render::run(&arguments, &client, &out).await,
        Command::Put(arguments) => put::run(&arguments, &client, &out).await,
        Command::Create(arguments) => create::run(&arguments, &client, &out).await,
        Command::Consumers(arguments) => consumers::run(&arguments, &client, &out).await,
        Command::History(arguments) => history::run(&arguments, &client, &out).await,
        Command::Versions(arguments) => versions::run(&arguments, &client, &out).await,
        Command::Stage(arguments) => stage::run(&arguments, &client, &out).await,
        Command::Rotate(arguments) => rotate::run(&arguments, &client, &out).await,
        Command::Delete(arguments) => delete::run(&arguments, &client, &out).await,
        Command::Restore(arguments) => restore::run(&arguments, &client, &out).await,
        Command::Purge(purge) => {
            purge::run(&purge, arguments.cluster.namespace.is_some(), &client, &out).await
        }
        Command::Policy(arguments) => policy::run(&arguments, &client, &out).await,
        Command::Key(arguments) => key::run(&arguments, &client.cluster, &out).await,
        Command::Product(arguments) => product::run(&arguments, &client.cluster, &out).await,
        Command::Explain(arguments) => explain::run(&arguments, &client, &out).await,
        Command::Audit(arguments) => audit::run(&arguments, &client, &out).await,
        Command::Seal(arguments) => seal::run(&arguments, &client, &out).await,
        Command::Status(arguments) => status::run(&arguments, &client, &out).await,
        Command::Completion(_) => Ok(()),
    }
}
