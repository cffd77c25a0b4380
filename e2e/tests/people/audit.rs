//! Who did what, who read what, and what comes of that.

use data_encoding::BASE64;
use serde_json::Value;
use strongroom_api::audit::{Decision, Outcome};

use crate::support::{Fixture, answers, eventually};
use crate::{KubectlUsers, MARKER};

/// Whoever may read the audit has everything rotated that somebody read, once, and is told what nobody can
/// generate.
pub(super) fn rotates_what_was_read(f: &Fixture, people: &KubectlUsers<'_>) {
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: auditor, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-auditor}\n\
         subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    people
        .with("jane", &["create", "published", "--key=token"], MARKER)
        .well();
    people.jane(&["get", "published", "--key=token"]).well();
    people.jane(&["get", "db-main", "--key=password"]).well();
    let before = f.native("db-main").unwrap()["password"].clone();
    let what = ["rotate", "--read-by=jane", "--since=1h"];
    let with = |more: &[&str]| people.jane(&[&what[..], more].concat());
    let shown = eventually("jane to read the audit", || {
        let said = with(&["--dry-run"]);
        said.success.then_some(said.stdout)
    });
    assert!(
        shown.contains("db-main") && shown.contains("published"),
        "{shown}"
    );
    with(&[]).refused("pass `--yes`");
    assert_eq!(f.native("db-main").unwrap()["password"], before);
    let said = with(&["--yes", "--wait=60s"]).refused("still have a value that was read");
    assert!(
        said.stdout.contains("rotated") && said.stdout.contains("written over the API"),
        "{}",
        said.stdout
    );
    assert_ne!(f.native("db-main").unwrap()["password"], before);
    // What has a value that nobody read is left alone.
    let again: Value = people.typed("jane", &[&what[..], &["--dry-run"]].concat());
    let secrets = again["secrets"].as_array().unwrap();
    let main = secrets
        .iter()
        .find(|secret| secret["secret"] == "db-main")
        .unwrap();
    assert_eq!(main["outcome"], "hasNewValue", "{again}");
    people.jane(&["delete", "published"]).well();
}

/// Who did what is told, to whom it may be, and nothing of a value stands anywhere on the way.
pub(super) fn tells(f: &Fixture, people: &KubectlUsers<'_>) {
    let records = answers::records(&people.json("admin", &["audit", "--limit=0", "--principal=jane"]));
    let of = |action: &str, decision: Decision, outcome: Outcome| {
        records.iter().any(|record| {
            record.action == action
                && (record.decision, record.outcome) == (decision, outcome)
                && record.namespace.as_deref() == Some("shop")
                && record.source.is_some()
                && record.extension_api
        })
    };
    for (action, decision, outcome) in [
        ("GetSecretValue", Decision::Allowed, Outcome::Success),
        ("GetSecretValue", Decision::Denied, Outcome::Failure),
        ("CreateSecret", Decision::Allowed, Outcome::Success),
        ("DeleteSecret", Decision::Allowed, Outcome::Success),
    ] {
        assert!(
            of(action, decision, outcome),
            "no {action} {decision:?} {outcome:?}"
        );
    }
    joins(f, people);
    let heard = people.heard.borrow();
    let log = std::fs::read_to_string(f.cluster.audit_log()).unwrap();
    // The log is there, and of these requests.
    for request in [
        "/secrets/team:partner/versions/v-2",
        "/secrets/db-main/value?",
        "/sealingkeys",
    ] {
        assert!(log.contains(request), "{request}");
    }
    let generated = f.native("db-main").unwrap()["password"]
        .as_str()
        .unwrap()
        .to_owned();
    let plain = String::from_utf8(BASE64.decode(generated.as_bytes()).unwrap()).unwrap();
    for (what, value) in [
        ("the marker", MARKER.to_owned()),
        (
            "the marker in base64",
            BASE64.encode(MARKER.as_bytes()).trim_end_matches('=')[..20].to_owned(),
        ),
        ("the password in base64", generated),
        ("the password", plain),
    ] {
        assert!(!log.contains(&value), "{what} is in the API server's audit log");
        assert!(!heard.contains(&value), "{what} was printed");
    }
}

/// Who reads a native Secret is in the API server's log alone, which is shown among the records if given.
fn joins(f: &Fixture, people: &KubectlUsers<'_>) {
    f.kubectl(&["-n", "shop", "get", "secret", "db-main", "-o", "name"]);
    let file = format!("--api-audit={}", f.cluster.audit_log().display());
    let reads = ["audit", "--secret=db-main", "--action=GetSecretValue"];
    let said = people.with(
        "admin",
        &[&reads[..], &["--limit=0", "--output=json", &file]].concat(),
        "",
    );
    assert!(
        said.stderr.contains("reaches from") && !said.stderr.contains("cannot be read"),
        "{}",
        said.stderr
    );
    let lines: Vec<Value> = said
        .well()
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    let by_api_server = lines.iter().any(|line| {
        line["log"] == "API server"
            && line["nativeSecret"] == "db-main"
            && line["action"] == "get"
            && line["principal"] == "user admin"
            && line["decision"] == "allowed"
            && line["source"].is_string()
    });
    let own = lines.iter().any(|line| line["chain"] == "reads");
    assert!(by_api_server && own, "{lines:?}");
    // Nothing of it is in the chain, and what is cut is told.
    let without = people.with("admin", &[&reads[..], &["--limit=1"]].concat(), "");
    assert!(
        !without.stdout.contains("API server") && without.stderr.contains("newest 1 of "),
        "{}{}",
        without.stdout,
        without.stderr
    );
    let summary = people.with(
        "admin",
        &[&reads[..], &["--summary", "-o", "csv", &file]].concat(),
        "",
    );
    assert!(summary.well().contains("\nuser admin,"));
}
