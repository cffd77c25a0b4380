//! `purge`: of one secret, or of all that was deleted in a namespace.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};

use http::Method;
use serde::Deserialize;
use serde_json::{Value, json};

use crate::api_client::ApiClient;
use crate::failure::Failure;
use crate::output::{Output, Table, bytes};

/// Names that are shown before somebody is asked.
const MAX_LISTED_NAMES: usize = 10;

/// Destroys a secret and all its versions at once, or all deleted secrets of a namespace; this cannot be
/// undone
///
/// Without a name it shows the secrets in recovery windows in the namespace of `--namespace`, and destroys
/// them. This is for administrators who need the space: it needs ClusterRole `strongroom-purger`, and also
/// works if the namespace is gone. Both forms ask you to type the name again.
///
/// Examples: kubectl strongroom purge partner
///
///   kubectl strongroom purge --namespace shop --list
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// The secret, by its name in the store; without it, all deleted secrets of the namespace in
    /// `--namespace`
    name: Option<String>,
    /// Only shows the secrets in recovery windows in the namespace, and how much of the store it uses
    #[arg(long, conflicts_with = "name")]
    list: bool,
    /// Does not ask for confirmation
    #[arg(long)]
    yes: bool,
}

/// `given`: the namespace was said on the command line.
pub(crate) async fn run(
    arguments: &Arguments,
    given: bool,
    client: &ApiClient,
    out: &Output,
) -> Result<(), Failure> {
    match &arguments.name {
        Some(name) => one(name, arguments.yes, client, out).await,
        // A context's namespace is nobody's word for all of it.
        None if !given => Err(Failure::Input(
            "name a secret, or a namespace with `--namespace` to destroy all of its deleted secrets"
                .to_owned(),
        )),
        None if arguments.list => DeletedSecrets::load(client).await?.show(out),
        None => all(arguments.yes, client, out).await,
    }
}

async fn one(name: &str, yes: bool, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let namespace = client.namespace();
    if !yes {
        let what =
            format!("{namespace}/{name} and all its versions will be destroyed. Type its name to continue: ");
        confirm(&what, name)?;
    }
    let query = [("force", "true".to_owned())];
    let answer = client.change(Method::DELETE, name, "", &query, None).await?;
    out.tell(&answer, &format!("{namespace}/{name} was destroyed"))
}

async fn all(yes: bool, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let namespace = client.namespace();
    let deleted = DeletedSecrets::load(client).await?;
    if deleted.secrets.is_empty() {
        let answer = json!({"namespace": namespace, "destroyed": 0, "bytes": 0});
        return out.tell(
            &answer,
            &format!("no secret of {namespace} is in a recovery window"),
        );
    }
    if !yes {
        let what = format!(
            "{} Type the name of the namespace to continue: ",
            deleted.question(namespace)
        );
        confirm(&what, namespace)?;
    }
    let (mut destroyed, mut freed) = (0, 0);
    loop {
        let purged = client.purge(&deleted.time).await?;
        destroyed += purged.destroyed;
        freed += purged.bytes;
        // One that destroys nothing would do so for ever.
        if !purged.more || purged.destroyed == 0 {
            break;
        }
    }
    let answer = json!({"namespace": namespace, "destroyed": destroyed, "bytes": freed});
    let text = format!(
        "{destroyed} secrets of {namespace} were destroyed, {} were freed",
        bytes(freed)
    );
    out.tell(&answer, &text)
}

fn confirm(what: &str, name: &str) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Input(format!(
            "there is no terminal to confirm that `{name}` is to be destroyed; pass `--yes`"
        )));
    }
    write!(std::io::stderr(), "{what}")?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim() == name {
        return Ok(());
    }
    Err(Failure::Input(
        "the name does not match; nothing was changed".to_owned(),
    ))
}

/// All that is in recovery windows in a namespace.
#[derive(Debug, Default)]
struct DeletedSecrets {
    secrets: Vec<DeletedSecret>,
    /// When the first page was read: what is deleted after that was not seen.
    time: String,
    used: Value,
    limit: Value,
}

/// One of them, as the API writes it.
#[derive(Debug, Deserialize, serde::Serialize)]
struct DeletedSecret {
    name: String,
    deleted: String,
    until: String,
    versions: u64,
    bytes: u64,
}

impl DeletedSecrets {
    async fn load(client: &ApiClient) -> Result<Self, Failure> {
        let mut all = Self::default();
        let mut after = None;
        loop {
            let page = client.deleted::<DeletedSecret>(after.as_deref()).await?;
            if after.is_none() {
                all.time = page.time;
                (all.used, all.limit) = (page.used, page.limit);
            }
            all.secrets.extend(page.secrets);
            after = page.next;
            if after.is_none() {
                return Ok(all);
            }
        }
    }

    fn bytes(&self) -> u64 {
        self.secrets.iter().map(|secret| secret.bytes).sum()
    }

    /// How many, how much, and the names of some.
    fn question(&self, namespace: &str) -> String {
        let mut text = format!(
            "In {namespace} {} secrets are in recovery windows, {} in total:\n",
            self.secrets.len(),
            bytes(self.bytes())
        );
        for secret in self.secrets.iter().take(MAX_LISTED_NAMES) {
            // Writing to a String does not fail.
            let _ = writeln!(text, "  {}, until {}", secret.name, secret.until);
        }
        if let Some(more) = self
            .secrets
            .len()
            .checked_sub(MAX_LISTED_NAMES)
            .filter(|more| *more > 0)
        {
            let _ = writeln!(text, "  and {more} more, which `--list` shows");
        }
        text.push_str("All of them and all their versions will be destroyed.");
        text
    }

    fn show(&self, out: &Output) -> Result<(), Failure> {
        let answer = json!({
            "secrets": self.secrets, "time": self.time, "used": self.used, "limit": self.limit, "bytes": self.bytes(),
        });
        out.print(&answer, || {
            let mut table = Table::new(&["NAME", "DELETED", "UNTIL", "VERSIONS", "BYTES"]);
            for secret in &self.secrets {
                let DeletedSecret {
                    name,
                    deleted,
                    until,
                    versions,
                    bytes,
                } = secret;
                table.row(vec![
                    name.clone(),
                    deleted.clone(),
                    until.clone(),
                    versions.to_string(),
                    bytes.to_string(),
                ]);
            }
            table
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_asked_sees_how_many_how_much_and_some_names() {
        let secret = |number: u64| DeletedSecret {
            name: format!("db-{number}"),
            deleted: "2026-11-23T20:22:00Z".to_owned(),
            until: "2026-12-23T20:22:00Z".to_owned(),
            versions: 1,
            bytes: 70_000,
        };
        let deleted = |count| DeletedSecrets {
            secrets: (0..count).map(secret).collect(),
            ..DeletedSecrets::default()
        };
        let few = deleted(2).question("shop");
        assert!(few.starts_with(
            "In shop 2 secrets are in recovery windows, 136 KiB in total:\n  db-0, until 2026-12-23"
        ));
        assert!(!few.contains("more"));
        let many = deleted(11).question("shop");
        assert!(many.contains("db-9,") && !many.contains("db-10,") && many.contains("and 1 more"));
    }
}
