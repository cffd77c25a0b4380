//! `purge`.

use std::io::{BufRead, IsTerminal, Write};

use http::Method;

use crate::failure::Failure;
use crate::output::Output;
use crate::people::People;

/// Destroys a secret and all its versions at once; nothing brings it back
///
/// Asks for the name once more. Example: kubectl strongroom purge partner
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store
    name: String,
    /// Does not ask
    #[arg(long)]
    yes: bool,
}

pub(crate) async fn run(arguments: &Arguments, people: &People, out: &Output) -> Result<(), Failure> {
    if !arguments.yes {
        confirm(people.namespace(), &arguments.name)?;
    }
    let query = [("force", "true".to_owned())];
    let answer = people
        .change(Method::DELETE, &arguments.name, "", &query, None)
        .await?;
    out.tell(
        &answer,
        &format!("{}/{} is destroyed", people.namespace(), arguments.name),
    )
}

fn confirm(namespace: &str, name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Input(format!(
            "nobody can be asked whether to destroy `{name}`; say `--yes`"
        )));
    }
    write!(
        std::io::stderr(),
        "{namespace}/{name} and all its versions will be destroyed. Type its name to go on: "
    )?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == name {
        return Ok(());
    }
    Err(Failure::Input(
        "that is another name; nothing was changed".to_owned(),
    ))
}
