//! `purge`: of one secret, or of all that was deleted in a namespace.

use std::fmt::Write as _;
use std::io::{BufRead, IsTerminal, Write};

use http::Method;
use serde_json::json;
use strongroom_api::v1::{DeleteSecretAnswer, DeletedSecretsPage, PurgeDeletedSecretsRequest};

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
        None if arguments.list => show(&load(client).await?, out),
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
    let answer: DeleteSecretAnswer = client.change_by_path(Method::DELETE, name, "", &query).await?;
    out.tell(&answer, &format!("{namespace}/{name} was destroyed"))
}

async fn all(yes: bool, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let namespace = client.namespace();
    let deleted = load(client).await?;
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
            question(&deleted, namespace)
        );
        confirm(&what, namespace)?;
    }
    let request = PurgeDeletedSecretsRequest {
        deleted_before: deleted.time,
    };
    let (mut destroyed, mut freed) = (0, 0);
    loop {
        let purged = client.purge(request).await?;
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

/// All that is in recovery windows in a namespace. What is deleted after the time of the first page was not
/// seen.
async fn load(client: &ApiClient) -> Result<DeletedSecretsPage, Failure> {
    let mut all = client.deleted(None).await?;
    while let Some(after) = all.next.take() {
        let page = client.deleted(Some(&after)).await?;
        all.secrets.extend(page.secrets);
        all.next = page.next;
    }
    Ok(all)
}

fn total_bytes(deleted: &DeletedSecretsPage) -> u64 {
    deleted.secrets.iter().map(|secret| secret.bytes).sum()
}

/// How many, how much, and the names of some.
fn question(deleted: &DeletedSecretsPage, namespace: &str) -> String {
    let mut text = format!(
        "In {namespace} {} secrets are in recovery windows, {} in total:\n",
        deleted.secrets.len(),
        bytes(total_bytes(deleted))
    );
    for secret in deleted.secrets.iter().take(MAX_LISTED_NAMES) {
        // Writing to a String does not fail.
        let _ = writeln!(text, "  {}, until {}", secret.name, secret.until);
    }
    if let Some(more) = deleted
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

fn show(deleted: &DeletedSecretsPage, out: &Output) -> Result<(), Failure> {
    let answer = json!({
        "secrets": deleted.secrets, "time": deleted.time, "used": deleted.used, "limit": deleted.limit, "bytes": total_bytes(deleted),
    });
    out.print(&answer, || {
        let mut table = Table::new(&["NAME", "DELETED", "UNTIL", "VERSIONS", "BYTES"]);
        for secret in &deleted.secrets {
            table.row(vec![
                secret.name.clone(),
                secret.deleted.to_string(),
                secret.until.to_string(),
                secret.versions.to_string(),
                secret.bytes.to_string(),
            ]);
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn whoever_is_asked_sees_how_many_how_much_and_some_names() {
        let secret = |number: u64| {
            json!({"name": format!("db-{number}"), "deleted": "2026-11-23T20:22:00Z",
                "until": "2026-12-23T20:22:00Z", "versions": 1, "bytes": 70_000})
        };
        let deleted = |count: u64| -> DeletedSecretsPage {
            let secrets: Vec<_> = (0..count).map(secret).collect();
            serde_json::from_value(json!({"secrets": secrets, "time": "2026-11-23T20:22:00Z",
                "used": {"secrets": 0, "bytes": 0}, "limit": {}}))
            .unwrap()
        };
        let few = question(&deleted(2), "shop");
        assert!(few.starts_with(
            "In shop 2 secrets are in recovery windows, 136 KiB in total:\n  db-0, until 2026-12-23"
        ));
        assert!(!few.contains("more"));
        let many = question(&deleted(11), "shop");
        assert!(many.contains("db-9,") && !many.contains("db-10,") && many.contains("and 1 more"));
    }
}
