//! `completion`.

use std::io::Write;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::failure::Failure;

/// Prints a completion script for a shell
///
/// The script completes `kubectl-strongroom`. For `kubectl strongroom`, put an executable file
/// `kubectl_complete-strongroom` into the PATH, as kubectl requires for plugins. Example: kubectl strongroom
/// completion bash > /etc/bash_completion.d/kubectl-strongroom
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The shell
    #[arg(value_enum)]
    shell: Shell,
}

pub(crate) fn run(arguments: &Arguments) -> Result<(), Failure> {
    let mut command = crate::arguments::Arguments::command().bin_name("kubectl-strongroom");
    // Whole before it is written: the generator panics where nobody reads on.
    let mut script = Vec::new();
    clap_complete::generate(arguments.shell, &mut command, "kubectl-strongroom", &mut script);
    std::io::stdout().write_all(&script)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_sound() {
        crate::arguments::Arguments::command().debug_assert();
    }
}
