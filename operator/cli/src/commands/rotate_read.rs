//! `rotate --read-by`: every secret whose value somebody has read, by the audit log.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead, IsTerminal, Write};

use http::Method;
use kube::Api;
use serde::Serialize;
use strongroom_api::audit::{AuditRecord, Filter, Outcome, since};
use strongroom_api::v1::{RotateSecretAnswer, RotateSecretRequest, SecretAnswer};
use strongroom_crds::v1alpha1::{ManagedSecret, Source};

use super::delivery::{self, WaitArguments, declaring};
use crate::api_client::ApiClient;
use crate::cluster::Cluster;
use crate::data::version_id;
use crate::failure::Failure;
use crate::output::{Output, Table};

/// Which secrets, where no name is given.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct ReadByArguments {
    /// Rotates every secret whose value this principal has read since `--since`: `shop/checkout` for a
    /// ServiceAccount, the name of a user, `node NAME` or `pod NAME`
    #[arg(long, value_name = "PRINCIPAL", requires = "since", conflicts_with_all = ["name", "token"])]
    pub(super) read_by: Option<String>,
    /// Since when: `2026-11-23T20:00:00Z`, or relative to now: `90m`, `24h`
    #[arg(long, value_name = "TIME", requires = "read_by", value_parser = checked_time)]
    since: Option<String>,
    /// In all namespaces
    #[arg(short = 'A', long, requires = "read_by")]
    all_namespaces: bool,
    /// Only shows which secrets would be rotated, and which cannot be
    #[arg(long, requires = "read_by")]
    dry_run: bool,
    /// Does not ask for confirmation
    #[arg(long, requires = "read_by")]
    yes: bool,
}

fn checked_time(text: &str) -> Result<String, String> {
    since(text).map(|_| text.to_owned())
}

/// How often a principal read one secret, and what it saw of it.
#[derive(Default)]
struct ReadsOfSecret {
    count: u64,
    last: String,
    /// The versions that were read; a read of an unknown one may have been of any.
    versions: BTreeSet<String>,
    unknown_version: bool,
}

/// By namespace and name.
type SecretReads = BTreeMap<(String, String), ReadsOfSecret>;

/// What becomes of a secret.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
enum RotationOutcome {
    /// It is rotated, if somebody says so.
    Rotates,
    /// The new version is Current.
    Rotated,
    /// The new version is asked for, and was not waited for, or has not arrived.
    Rotating,
    /// Its Current version is another one than any that was read.
    HasNewValue,
    /// Somebody has to do it.
    CannotRotate,
}

impl RotationOutcome {
    const fn in_words(self) -> &'static str {
        match self {
            Self::Rotates => "rotates",
            Self::Rotated => "rotated",
            Self::Rotating => "is being rotated",
            Self::HasNewValue => "has a new value",
            Self::CannotRotate => "cannot rotate",
        }
    }
}

/// A line of the answer.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct RotationLine {
    namespace: String,
    secret: String,
    reads: u64,
    last_read: String,
    outcome: RotationOutcome,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<String>,
    /// What somebody has to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    todo: Option<String>,
}

pub(super) async fn run(
    principal: &str,
    arguments: &ReadByArguments,
    waiting: WaitArguments,
    client: &ApiClient,
    out: &Output,
) -> Result<(), Failure> {
    let reads = find_reads(principal, arguments, client).await?;
    let mut lines = Vec::new();
    for ((namespace, secret), reads) in reads {
        lines.push(plan(&in_namespace(client, &namespace), secret, reads).await?);
    }
    let rotatable = lines
        .iter()
        .filter(|line| line.outcome == RotationOutcome::Rotates)
        .count();
    if rotatable > 0 && !arguments.dry_run {
        if !arguments.yes {
            confirm(principal, &lines, rotatable)?;
        }
        rotate(&mut lines, waiting, client).await?;
    }
    show(principal, &lines, out)?;
    let left = lines.iter().filter(|line| line.todo.is_some()).count();
    match left {
        0 => Ok(()),
        _ => Err(Failure::NotDelivered(format!(
            "{left} of the {} secrets that `{principal}` read still have a value that was read; see what to do with each",
            lines.len()
        ))),
    }
}

/// The secrets whose values a principal was given, by all pages of the audit log.
async fn find_reads(
    principal: &str,
    arguments: &ReadByArguments,
    client: &ApiClient,
) -> Result<SecretReads, Failure> {
    let from = arguments.since.as_deref().map(since).transpose();
    let filter = Filter {
        action: vec!["GetSecretValue".to_owned()],
        outcome: Some(Outcome::Success),
        since: from.map_err(Failure::Input)?,
        ..Filter::default()
    };
    let mut found = SecretReads::new();
    let mut oldest = None;
    let mut after = None::<String>;
    loop {
        let page = client.records(arguments.all_namespaces, after.as_deref()).await?;
        for record in page.records {
            oldest = oldest.or(Some(record.time));
            if filter.admits(&record)
                && is_by(&record, principal)
                && let (Some(namespace), Some(secret)) = (record.namespace, record.secret)
            {
                let reads = found.entry((namespace, secret)).or_default();
                reads.count += record.count;
                reads.last = record.time.to_string();
                reads.unknown_version |= record.version.is_none();
                reads.versions.extend(record.version);
            }
        }
        if after.as_ref() == Some(&page.next) {
            break;
        }
        after = Some(page.next);
    }
    if let (Some(oldest), Some(since)) = (oldest, filter.since)
        && oldest > since
    {
        // Nobody is left to tell where this fails.
        let _ = writeln!(
            std::io::stderr(),
            "note: the oldest record here is of {oldest}; if the log was cut, reads before that are in a sink alone"
        );
    }
    Ok(found)
}

/// Whether a read was this principal's: by its name with or without its kind, or by the pod or the node that
/// it came from. What a node says that it served while it was offline counts as well.
fn is_by(record: &AuditRecord, principal: &str) -> bool {
    let named =
        |text: &str| text == principal || text.split_once(' ').is_some_and(|(_, name)| name == principal);
    let claimed = record
        .claimed
        .as_deref()
        .map(|claimed| claimed.split_once(", pod ").map_or(claimed, |(by, _)| by));
    let origin = match principal.split_once(' ') {
        Some(("node", name)) => record.node.as_deref() == Some(name),
        Some(("pod", name)) => record.pod.as_deref() == Some(name),
        Some(_) | None => false,
    };
    origin || named(&record.principal) || claimed.is_some_and(named)
}

fn in_namespace(client: &ApiClient, namespace: &str) -> ApiClient {
    ApiClient {
        cluster: Cluster {
            namespace: namespace.to_owned(),
            ..client.cluster.clone()
        },
    }
}

/// What can be done about a secret, as far as it can be seen.
async fn plan(client: &ApiClient, secret: String, reads: ReadsOfSecret) -> Result<RotationLine, Failure> {
    let mut line = RotationLine {
        namespace: client.namespace().to_owned(),
        secret,
        reads: reads.count,
        last_read: reads.last,
        outcome: RotationOutcome::Rotates,
        version: None,
        todo: None,
    };
    let described: Result<SecretAnswer, Failure> = client.read(&line.secret, "", &[]).await;
    let current = match described {
        Ok(secret) => secret.stages.get("Current").cloned(),
        // Whoever may have it rotated need not see it.
        Err(Failure::Refused(_)) => None,
        Err(error) => return Err(error),
    };
    if let Some(current) = current
        && !reads.unknown_version
        && !reads.versions.contains(&current)
    {
        line.outcome = RotationOutcome::HasNewValue;
        line.version = Some(current);
        return Ok(line);
    }
    let objects: Api<ManagedSecret> = Api::namespaced(client.cluster.client.clone(), client.namespace());
    let obstacle = match declaring(&objects, &line.secret).await {
        Ok(object) => obstacle(object.as_ref().map(|object| &object.spec.source)),
        // The answer to the request says it then.
        Err(kube::Error::Api(status)) if status.code == 403 => None,
        Err(error) => return Err(client.cluster.failure(error)),
    };
    if let Some(todo) = obstacle {
        line.outcome = RotationOutcome::CannotRotate;
        line.todo = Some(todo.to_owned());
    }
    Ok(line)
}

/// Why no value can be generated, as what to do instead.
const fn obstacle(source: Option<&Source>) -> Option<&'static str> {
    match source {
        Some(Source::Generate(_)) => None,
        Some(Source::External(_)) | None => {
            Some("change it where it is used, and write the new value with `kubectl strongroom put`")
        }
        Some(Source::Sealed(_)) => Some(
            "change it where it is used, seal the new value with `kubectl strongroom seal`, and commit it",
        ),
        Some(Source::Import(_)) => {
            Some("move its ManagedSecret to `spec.source.generate` or `external`, and give it a new value")
        }
    }
}

/// Asks for all of them, and then waits for each.
async fn rotate(
    lines: &mut [RotationLine],
    waiting: WaitArguments,
    client: &ApiClient,
) -> Result<(), Failure> {
    let token = version_id()?;
    for line in lines
        .iter_mut()
        .filter(|line| line.outcome == RotationOutcome::Rotates)
    {
        let client = in_namespace(client, &line.namespace);
        let request = RotateSecretRequest { token: token.clone() };
        let asked: Result<RotateSecretAnswer, Failure> = client
            .change(Method::POST, &line.secret, "/rotation", &request)
            .await;
        match asked {
            Ok(answer) => {
                line.outcome = RotationOutcome::Rotating;
                line.version = Some(answer.version_id);
            }
            // The others are to be rotated all the same.
            Err(error) => {
                line.outcome = RotationOutcome::CannotRotate;
                line.todo = Some(match error {
                    // Without the policies that would help: it is a cell.
                    Failure::Refused(problem) => format!("{} ({})", problem.detail, problem.code),
                    error => error.to_string(),
                });
            }
        }
    }
    for line in lines
        .iter_mut()
        .filter(|line| line.outcome == RotationOutcome::Rotating)
    {
        let client = in_namespace(client, &line.namespace);
        let Some(version) = &line.version else { continue };
        match delivery::wait(&client, &line.secret, "Current", version, waiting).await {
            Ok(arrival) if arrival.staged => line.outcome = RotationOutcome::Rotated,
            Ok(_) => {}
            Err(error) => line.todo = Some(error.to_string()),
        }
    }
    Ok(())
}

fn confirm(principal: &str, lines: &[RotationLine], rotatable: usize) -> Result<(), Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Input(format!(
            "there is no terminal to confirm that {rotatable} secrets are to be rotated; look at them with `--dry-run`, and pass `--yes`"
        )));
    }
    let mut err = std::io::stderr();
    for line in lines {
        let text = format!(
            "  {}/{}: {}",
            line.namespace,
            line.secret,
            line.outcome.in_words()
        );
        writeln!(err, "{}", strongroom_api::visible_lines(&text))?;
    }
    write!(
        err,
        "{rotatable} secrets that `{}` read get new values now. Continue? [y/N] ",
        strongroom_api::visible(principal)
    )?;
    let mut typed = String::new();
    std::io::stdin().lock().read_line(&mut typed)?;
    if typed.trim().eq_ignore_ascii_case("y") {
        return Ok(());
    }
    Err(Failure::Input("nothing was changed".to_owned()))
}

fn show(principal: &str, lines: &[RotationLine], out: &Output) -> Result<(), Failure> {
    let answer = serde_json::json!({"principal": principal, "secrets": lines});
    if lines.is_empty() {
        return out.tell(
            &answer,
            &format!("`{principal}` read no value in this time; reads of native Secrets are in the API server's audit log"),
        );
    }
    out.print(&answer, || {
        let mut table = Table::new(&[
            "NAMESPACE",
            "SECRET",
            "READS",
            "LAST READ",
            "OUTCOME",
            "WHAT TO DO",
        ]);
        for line in lines {
            table.row(vec![
                line.namespace.clone(),
                line.secret.clone(),
                line.reads.to_string(),
                line.last_read.clone(),
                line.outcome.in_words().to_owned(),
                line.todo.clone().unwrap_or_else(|| "-".to_owned()),
            ]);
        }
        table
    })
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn record(fields: &serde_json::Value) -> AuditRecord {
        let mut record = json!({
            "chain": "reads", "sequence": 7, "time": "2026-11-23T20:22:00Z",
            "principal": "serviceaccount shop/checkout", "action": "GetSecretValue", "decision": "allowed",
            "outcome": "success",
        });
        let (Some(record_fields), Some(fields)) = (record.as_object_mut(), fields.as_object()) else {
            panic!("no objects");
        };
        record_fields.extend(fields.clone());
        serde_json::from_value(record).unwrap()
    }

    #[test]
    fn a_read_is_somebodys_by_the_whole_name_alone() {
        let read = record(&json!({"node": "worker-1", "pod": "checkout-0"}));
        for by in [
            "shop/checkout",
            "serviceaccount shop/checkout",
            "node worker-1",
            "pod checkout-0",
        ] {
            assert!(is_by(&read, by), "{by}");
        }
        for by in [
            "shop/check",
            "checkout",
            "node worker",
            "pod checkout",
            "worker-1",
            "",
        ] {
            assert!(!is_by(&read, by), "{by}");
        }
        let claimed = "serviceaccount shop/batch, pod batch-1 with UID u-1";
        let offline = record(&json!({"principal": "node worker-2", "claimed": claimed}));
        assert!(is_by(&offline, "shop/batch") && is_by(&offline, "worker-2") && !is_by(&offline, "shop/bat"));
        let person = record(&json!({"principal": "user jane"}));
        assert!(is_by(&person, "jane") && !is_by(&person, "user jan"));
    }

    #[test]
    fn what_has_no_generator_says_what_to_do() {
        let source = |text| -> Source { serde_json::from_value(text).unwrap() };
        let generated = source(json!({"generate": {"keys": {"password": {"password": {}}}}}));
        assert_eq!(obstacle(Some(&generated)), None);
        let sealed = source(json!({"sealed": {"keys": {}}}));
        assert!(
            obstacle(Some(&sealed))
                .unwrap()
                .contains("kubectl strongroom seal")
        );
        for other in [Some(source(json!({"external": {}}))), None] {
            assert!(
                obstacle(other.as_ref())
                    .unwrap()
                    .contains("kubectl strongroom put")
            );
        }
    }
}
