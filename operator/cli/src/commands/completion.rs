//! `completion`.

use clap::CommandFactory;
use clap_complete::Shell;

/// Prints a completion script for a shell
///
/// It completes `kubectl-strongroom`. For `kubectl strongroom` put an executable file `kubectl_complete-strongroom` into the PATH, as kubectl asks of plugins.
/// Example: kubectl strongroom completion bash > /etc/bash_completion.d/kubectl-strongroom
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) {
    let mut command = crate::arguments::Arguments::command().bin_name("kubectl-strongroom");
    clap_complete::generate(
        arguments.shell,
        &mut command,
        "kubectl-strongroom",
        &mut std::io::stdout(),
    );
}
