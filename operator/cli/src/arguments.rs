//! The command line.

use crate::commands::{
    audit, completion, consumers, create, delete, describe, explain, get, history, key, list, policy,
    product, purge, put, render, restore, rotate, seal, stage, status, versions,
};
use crate::output::OutputArgument;

const EXAMPLES: &str = "\
Examples:
  kubectl strongroom list -n shop
  kubectl strongroom get db-main --key password --show
  kubectl strongroom put partner --key token < token.txt
  kubectl strongroom explain secret db-main --as serviceaccount/checkout
  kubectl strongroom seal smtp --key password --native smtp < password.txt > smtp.yaml
  kubectl strongroom audit --secret db-main --decision denied --since 24h

Every command takes --help.";

/// Manages secrets in Strongroom with the rights of your kubeconfig
#[derive(Debug, clap::Parser)]
#[command(
    name = "kubectl-strongroom",
    bin_name = "kubectl strongroom",
    version,
    max_term_width = 100,
    after_help = EXAMPLES
)]
pub(crate) struct Arguments {
    #[command(flatten)]
    pub(crate) cluster: ClusterArguments,
    /// Output format
    #[arg(short, long, global = true, value_enum, default_value = "table")]
    pub(crate) output: OutputArgument,
    #[command(subcommand)]
    pub(crate) command: Command,
}

/// Which cluster, and as whom.
#[derive(Clone, Debug, Default, clap::Args)]
pub(crate) struct ClusterArguments {
    /// The namespace; default: that of the context
    #[arg(short, long, global = true, value_name = "NAME")]
    pub(crate) namespace: Option<String>,
    /// The context of the kubeconfig
    #[arg(long, global = true, value_name = "NAME")]
    pub(crate) context: Option<String>,
    /// The kubeconfig to use instead of KUBECONFIG and ~/.kube/config
    #[arg(long, global = true, value_name = "PATH")]
    pub(crate) kubeconfig: Option<std::path::PathBuf>,
    /// User to impersonate, as with kubectl
    #[arg(long = "as", global = true, value_name = "USER")]
    pub(crate) impersonate: Option<String>,
    /// Group to impersonate; may be repeated
    #[arg(
        long = "as-group",
        global = true,
        value_name = "GROUP",
        requires = "impersonate"
    )]
    pub(crate) impersonate_groups: Vec<String>,
}

/// What to do.
#[derive(Debug, clap::Subcommand)]
pub(crate) enum Command {
    List(list::Arguments),
    Describe(describe::Arguments),
    Get(get::Arguments),
    Render(render::Arguments),
    Put(put::Arguments),
    Create(create::Arguments),
    Versions(versions::Arguments),
    Consumers(consumers::Arguments),
    History(history::Arguments),
    Stage(stage::Arguments),
    Rotate(rotate::Arguments),
    Delete(delete::Arguments),
    Restore(restore::Arguments),
    Purge(purge::Arguments),
    #[command(subcommand)]
    Policy(policy::Arguments),
    #[command(subcommand)]
    Key(key::Arguments),
    #[command(subcommand)]
    Product(product::Arguments),
    Explain(explain::Arguments),
    Audit(audit::Arguments),
    Seal(seal::Arguments),
    Status(status::Arguments),
    Completion(completion::Arguments),
}
