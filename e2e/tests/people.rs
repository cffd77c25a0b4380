//! The promise: whoever has a kubeconfig reaches secrets by `kubectl strongroom`, gets there what policies
//! allow, and no value passes the API server in the clear; and a Strongroom that is away, or never came up,
//! keeps no namespace from being deleted.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

mod support;

use data_encoding::BASE64;
use serde::de::DeserializeOwned;
use serde_json::Value;
use strongroom_api::audit::{Decision, Outcome};
use strongroom_api::installation_status::{CheckName, CheckState, InstallationStatus};
use strongroom_api::v1::{
    AccessCheck, AccessCheckResult, AccessCheckState, DeletedSecretsPage, ExplainAccessAnswer, OwnPolicy,
    SecretsPage, ValueAnswer, VersionsAnswer,
};
use strongroom_crds::v1alpha1::PolicyPrincipal;
use strongroom_e2e::Size;
use support::{ALL_NAMESPACES, Fixture, answers, eventually};

/// What must not be seen on the way.
const MARKER: &str = "MARKER-7f3a91-of-a-partner";

/// What a command said.
struct CommandOutput {
    success: bool,
    stdout: String,
    stderr: String,
}

impl CommandOutput {
    fn well(self) -> String {
        assert!(self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    /// What was printed nonetheless.
    fn failed(self) -> String {
        assert!(!self.success, "{}{}", self.stdout, self.stderr);
        self.stdout
    }

    fn refused(self, why: &str) -> Self {
        assert!(
            !self.success && self.stderr.contains(why),
            "not `{why}`: {}{}",
            self.stdout,
            self.stderr
        );
        self
    }
}

/// `kubectl strongroom` in namespace `shop`; everything that it says is kept.
struct KubectlUsers<'a> {
    f: &'a Fixture,
    heard: std::cell::RefCell<String>,
}

impl KubectlUsers<'_> {
    fn with(&self, user: &str, arguments: &[&str], stdin: &str) -> CommandOutput {
        let user = Some(user).filter(|user| *user != "admin");
        let (success, stdout, stderr) = self.f.person(user, arguments, stdin);
        let said = CommandOutput {
            success,
            stdout,
            stderr,
        };
        if arguments.first() != Some(&"get") {
            self.heard
                .borrow_mut()
                .push_str(&format!("{}{}", said.stdout, said.stderr));
        }
        said
    }

    fn jane(&self, arguments: &[&str]) -> CommandOutput {
        self.with("jane", arguments, "")
    }

    fn json(&self, user: &str, arguments: &[&str]) -> String {
        self.with(user, &[arguments, &["--output=json"]].concat(), "")
            .well()
    }

    fn typed<T: DeserializeOwned>(&self, user: &str, arguments: &[&str]) -> T {
        serde_json::from_str(&self.json(user, arguments)).unwrap()
    }
}

/// Without any policy whoever may get the object describes its secret and asks why it is refused; nobody else
/// does.
fn administers(f: &Fixture, people: &KubectlUsers<'_>) {
    let described = people.with("admin", &["describe", "db-main"], "").well();
    assert!(described.contains("Current="), "{described}");
    people.with("admin", &["consumers", "db-main"], "").well();
    let history = people.with("admin", &["history", "db-main"], "").well();
    assert!(history.contains("CreateSecret"), "{history}");
    let explained = people
        .with("admin", &["explain", "me", "DescribeSecret", "db-main"], "")
        .well();
    assert!(explained.contains("RBAC allows it"), "{explained}");
    let explained = people
        .with(
            "admin",
            &["explain", "shop/checkout", "GetSecretValue", "db-main"],
            "",
        )
        .failed();
    assert!(
        explained.starts_with("denied") && explained.contains("name: allow-checkout-db-main-"),
        "{explained}"
    );
    people
        .with("admin", &["explain", "joe", "GetSecretValue", "db-main"], "")
        .refused("PolicyDenied");
    people
        .with("admin", &["get", "db-main"], "")
        .refused("PolicyDenied");
    // The built-in role `view` of the namespace is enough, and one object by name is enough for that one.
    people
        .with("val", &["describe", "db-main"], "")
        .refused("cannot get resource");
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: val, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: view}\n\
         subjects: [{kind: User, name: val, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    eventually("val to be let in", || {
        people
            .with("val", &["describe", "db-main"], "")
            .success
            .then_some(())
    });
    // A Deny wins.
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: not-val, namespace: shop}\nspec:\n  \
         secrets: [\"*\"]\n  statements:\n  - {effect: Deny, principals: [{user: val}], actions: [\"secrets:DescribeSecret\"]}\n",
    );
    eventually("val to be denied", || {
        let said = people.with("val", &["describe", "db-main"], "");
        said.stderr.contains("SecretNotFound").then_some(())
    });
    f.kubectl(&["-n", "shop", "delete", "secretpolicy", "not-val"]);
}

/// RBAC says who may knock, policies say who gets what.
fn knocks(f: &Fixture, people: &KubectlUsers<'_>) {
    people.jane(&["list"]).refused("strongroom-user");
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: people, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-user}\n\
         subjects: [{kind: User, name: jane, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    // She may knock; no policy lets her see anything.
    let listed = eventually("jane to be let in", || {
        let said = people.jane(&["list", "--output=json"]);
        said.success.then_some(said.stdout)
    });
    let listed: SecretsPage = serde_json::from_str(&listed).unwrap();
    assert!(listed.secrets.is_empty(), "{listed:?}");
    people.jane(&["get", "db-main"]).refused("SecretNotFound");
    let policy = |actions: &str| {
        f.apply(&format!(
            "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {{name: jane, namespace: shop}}\nspec:\n  \
             secrets: [\"*\"]\n  statements:\n  - {{effect: Allow, principals: [{{user: jane}}], actions: [{actions}]}}\n"
        ));
    };
    policy("\"secrets:DescribeSecret\"");
    let denied = eventually("jane to be told what is missing", || {
        let said = people.jane(&["get", "db-main"]);
        said.stderr.contains("PolicyDenied").then_some(said.stderr)
    });
    assert!(denied.contains("kind: SecretPolicy"), "{denied}");
    let explained = people
        .jane(&["explain", "me", "GetSecretValue", "db-main"])
        .failed();
    assert!(
        explained.starts_with("denied") && explained.contains("principals: [{user: \"jane\"}]"),
        "{explained}"
    );
    policy("\"secrets:*\"");
    eventually("jane to be allowed", || {
        people.jane(&["get", "db-main"]).success.then_some(())
    });
    let explained = people
        .jane(&["explain", "me", "GetSecretValue", "db-main"])
        .well();
    assert!(explained.starts_with("allowed"), "{explained}");
    // A right to knock is none to read the audit, and somebody else has neither.
    people.jane(&["audit"]).refused("strongroom-auditor");
    people
        .with("joe", &["describe", "db-main"], "")
        .refused("cannot get resource");
}

/// A secret's life, from the command line.
fn lives(f: &Fixture, people: &KubectlUsers<'_>) {
    let native = || {
        f.native("db-main").unwrap()["password"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let password = || people.jane(&["get", "db-main", "--key=password"]).well();
    let first = password();
    assert_eq!(BASE64.encode(first.as_bytes()), native());
    let read: ValueAnswer = people.typed("jane", &["get", "db-main"]);
    assert_eq!(BASE64.encode(read.data["password"].expose()), native());
    people.jane(&["rotate", "db-main", "--wait=60s"]).well();
    assert_ne!(password(), first);
    assert_eq!(BASE64.encode(password().as_bytes()), native());
    let VersionsAnswer { versions } = people.typed("jane", &["versions", "db-main"]);
    assert_eq!(versions.len(), 2);
    let before = versions[1].version_id.as_str();
    let old = people
        .jane(&["get", "db-main", "--key=password", "--stage=Previous"])
        .well();
    assert_eq!(old, first);
    // Back, and there it stays.
    people
        .jane(&["stage", "db-main", "Current", "--to", before])
        .well();
    assert_eq!(password(), first);

    let create = ["create", "team/partner", "--key=token", "--label=team=shop"];
    people.with("jane", &create, MARKER).well();
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        MARKER
    );
    let second = format!("{MARKER}-2\n");
    let put = [
        "put",
        "team/partner",
        "--key=token",
        "--trim",
        "--version-id=v-2",
        "--wait=60s",
    ];
    people.with("jane", &put, &second).well();
    people.with("jane", &put, &second).well();
    people.with("jane", &put, "another").refused("VersionConflict");
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        second.trim()
    );
    let listed: SecretsPage = people.typed("jane", &["list", "--label=team=shop"]);
    assert_eq!(listed.secrets[0].stages["Current"], "v-2");
    // A value is nothing for the command line, nor for somebody who sees it there.
    people
        .with("jane", &["put", "team/partner"], "")
        .refused("standard input");
    people.jane(&["delete", "team/partner"]).well();
    people.jane(&["get", "team/partner"]).refused("InRecoveryWindow");
    people.jane(&["restore", "team/partner"]).well();
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        second.trim()
    );
    people.jane(&["purge", "team/partner"]).refused("--yes");
    // `secrets:*` does not allow what destroys.
    let refused = people.jane(&["purge", "team/partner", "--yes"]);
    refused.refused("secrets:PurgeSecret");
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: jane-purges, namespace: shop}\nspec:\n  \
         secrets: [team/partner]\n  statements:\n  - {effect: Allow, principals: [{user: jane}], actions: [\"secrets:PurgeSecret\"]}\n",
    );
    eventually("jane to be allowed to purge", || {
        people
            .jane(&["purge", "team/partner", "--yes"])
            .success
            .then_some(())
    });
    people
        .jane(&["describe", "team/partner"])
        .refused("SecretNotFound");

    people
        .with(
            "jane",
            &["policy", "set", "db-main", "--file=-"],
            "- {effect: Allow, principals: [{group: ops}], actions: [\"secrets:DescribeSecret\"]}",
        )
        .well();
    let policy: OwnPolicy = people.typed("jane", &["policy", "get", "db-main"]);
    let principals = policy.statements[0].principals.as_deref();
    assert_eq!(principals, Some(&[PolicyPrincipal::Group("ops".to_owned())][..]));
    one_screen(people);
}

/// What somebody is told who asks why a ServiceAccount cannot read: the exit code, what fails, and all.
fn explained(
    f: &Fixture,
    user: Option<&str>,
    question: &[&str],
) -> (Option<i32>, Vec<AccessCheckResult>, Vec<AccessCheck>) {
    let (code, printed) = f.exit_code(user, &[&["explain"][..], question, &["--output=json"]].concat());
    let answer = serde_json::from_str::<ExplainAccessAnswer>(&printed);
    let checks = answer.map(|answer| answer.checks).unwrap_or_default();
    let failing = checks
        .iter()
        .filter(|check| check.state == AccessCheckState::Failing)
        .map(|check| check.result)
        .collect();
    (code, failing, checks)
}

/// The objects in a command that applies them.
fn objects_of(check: &AccessCheck) -> String {
    let command = check.remedy.as_deref().unwrap();
    let objects = command.strip_prefix("kubectl apply -f - <<'YAML'\n");
    let objects = objects.and_then(|rest| rest.strip_suffix("YAML"));
    objects.unwrap().to_owned()
}

/// Each thing that stands in the way is told by itself, and with what mends it.
fn explains(f: &Fixture, people: &KubectlUsers<'_>) {
    f.apply(
        "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: till, namespace: shop}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: EncryptionKey\nmetadata: {name: pay, namespace: shop}\nspec: {enabled: true}\n---\n\
         apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: card, namespace: shop}\nspec:\n  \
         encryptionKey: pay\n  source: {generate: {keys: {token: {password: {length: 40}}}}}\n",
    );
    f.wait_ready("card", "True", "Ready");
    let till = ["secret", "card", "--as", "serviceaccount/till"];
    let ask = || explained(f, None, &till);
    // No policy allows it, and what is printed does.
    let (code, failing, checks) = ask();
    assert_eq!(
        failing,
        [AccessCheckResult::PolicyDenied, AccessCheckResult::KeyNotGranted],
        "{checks:?}"
    );
    assert_eq!(code, Some(1));
    f.apply(&objects_of(&checks[0]));
    let passes = |what: &str| {
        eventually(what, || {
            let (code, failing, _) = ask();
            (code == Some(0) && failing.is_empty()).then_some(())
        });
    };
    passes("the policy that was suggested");

    // Whoever may not see the installation is told what that takes, and that it is not known.
    let of_val = ["shop/till", "GetSecretValue", "card"];
    let (code, failing, checks) = explained(f, Some("val"), &of_val);
    assert_eq!((code, failing), (Some(2), vec![]), "{checks:?}");
    assert!(
        checks.iter().any(|check| check
            .detail
            .starts_with("not visible to you: this takes `get` of APIService")),
        "{checks:?}"
    );

    f.apply(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: closed, namespace: shop}\n\
         spec: {podSelector: {}, policyTypes: [Egress]}\n",
    );
    let (code, failing, checks) = ask();
    assert_eq!(
        (code, failing),
        (Some(1), vec![AccessCheckResult::EgressBlockedBy]),
        "{checks:?}"
    );
    let screen = people
        .with("admin", &[&["explain"][..], &till].concat(), "")
        .failed();
    assert!(
        screen.starts_with("fails: ") && screen.contains("\n\nnetwork egress failed: EgressBlockedBy"),
        "{screen}"
    );
    let blocked = checks
        .iter()
        .find(|check| check.item.as_deref() == Some("egress"));
    f.apply(&objects_of(blocked.unwrap()));
    passes("the NetworkPolicy that was suggested");
    f.kubectl(&["-n", "shop", "delete", "networkpolicies", "--all"]);

    let fails = |what: &str, result: AccessCheckResult, remedy: &str| {
        let check = eventually(what, || {
            let (code, failing, checks) = ask();
            (code == Some(1) && failing == [result])
                .then_some(checks)?
                .into_iter()
                .find(|check| check.result == result)
        });
        assert_eq!(check.remedy.as_deref(), Some(remedy));
    };
    people.with("admin", &["key", "disable", "pay"], "").well();
    fails(
        "the key to be told of",
        AccessCheckResult::KeyDisabled,
        "kubectl strongroom -n shop key enable pay",
    );
    people.with("admin", &["key", "enable", "pay"], "").well();
    passes("the key to be enabled");
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "card"]);
    fails(
        "the recovery window to be told of",
        AccessCheckResult::InRecoveryWindow,
        "kubectl strongroom -n shop restore card",
    );
    people.jane(&["restore", "card"]).well();
    passes("the secret to be back");
    let (code, failing, _) = explained(f, None, &["secret", "nothing", "--as", "serviceaccount/till"]);
    assert_eq!((code, failing), (Some(1), vec![AccessCheckResult::Absent]));
}

/// The administrator sees on one screen that all is well; whoever may see less is told so.
fn one_screen(people: &KubectlUsers<'_>) {
    let status = eventually("the process to report of itself", || {
        let status: InstallationStatus = people.typed("admin", &["status"]);
        status.process.is_some().then_some(status)
    });
    assert!(
        status
            .api
            .starts_with("people.strongroom.dev answers at https://"),
        "{status:?}"
    );
    assert!(
        status.healthy && status.managed_secrets.unwrap() >= 1,
        "{status:?}"
    );
    let states = |status: &InstallationStatus, name: CheckName| {
        let checks = status.checks.iter().filter(|check| check.check == name);
        checks.map(|check| check.state).collect::<Vec<_>>()
    };
    for name in [
        CheckName::Api,
        CheckName::Store,
        CheckName::Lease,
        CheckName::AuditSink,
    ] {
        assert_eq!(states(&status, name), [CheckState::Ok], "{status:?}");
    }
    // Of the gateway, the webhook and the extension API.
    assert_eq!(
        states(&status, CheckName::Certificate),
        [CheckState::Ok; 3],
        "{status:?}"
    );
    assert_eq!(
        states(&status, CheckName::Backup),
        [CheckState::Warning],
        "{status:?}"
    );
    let screen = people.with("admin", &["status"], "").well();
    assert!(
        screen.starts_with("CHECK ") && screen.contains("nobody takes backups"),
        "{screen}"
    );
    let status: InstallationStatus = people.typed("jane", &["status"]);
    assert_eq!(
        states(&status, CheckName::Lease),
        [CheckState::Unknown],
        "{status:?}"
    );
    assert!(
        status.checks.iter().any(|check| check
            .detail
            .starts_with("not visible to you: this takes `get` of ")),
        "{status:?}"
    );
}

/// What is in recovery windows in a namespace is for administrators to see and to destroy, whatever policies
/// say.
fn purges(f: &Fixture, people: &KubectlUsers<'_>) {
    for name in ["spare-1", "spare-2"] {
        people
            .with("jane", &["create", name, "--key=token"], MARKER)
            .well();
        people.jane(&["delete", name]).well();
    }
    people.jane(&["purge", "--list"]).refused("strongroom-purger");
    people.jane(&["purge", "--yes"]).refused("strongroom-purger");
    let listed: DeletedSecretsPage = people.typed("admin", &["purge", "--list"]);
    let names: Vec<&str> = listed.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["spare-1", "spare-2"]);
    assert_eq!(listed.limit.secrets, Some(10_000));
    people.with("admin", &["purge"], "").refused("pass `--yes`");
    // Bound to somebody in the namespace it is enough for that one, and no policy is asked.
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: purger, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-purger}\n\
         subjects: [{kind: User, name: paul, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    let said = eventually("paul to be let in", || {
        let said = people.with("paul", &["purge", "--yes"], "");
        said.success.then_some(said.stdout)
    });
    assert!(said.starts_with("2 secrets of shop were destroyed, "), "{said}");
    let status: InstallationStatus = people.typed("admin", &["status"]);
    let room = status.room.as_ref().unwrap();
    assert_eq!(room.used.secrets, listed.used.secrets - 2, "{status:?}");
    people
        .with("paul", &["describe", "db-main"], "")
        .refused("cannot get resource");
    let purged = people.json("admin", &["audit", "--action=PurgeSecret", "--secret=spare-1"]);
    let records = answers::records(&purged);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].principal, "user paul", "{records:?}");
}

/// Whoever may read the audit has everything rotated that somebody read, once, and is told what nobody can
/// generate.
fn rotates_what_was_read(f: &Fixture, people: &KubectlUsers<'_>) {
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

/// A value that lies in a file, sealed: only here, and only in its place, is it one.
fn seals(f: &Fixture, people: &KubectlUsers<'_>) {
    let value = format!("{MARKER}-in-git");
    let seal = ["seal", "smtp", "--key=password", "--native=smtp"];
    let manifest = people.with("jane", &seal, &value).well();
    assert!(!manifest.contains(MARKER), "{manifest}");
    f.apply(&manifest);
    f.wait_ready("smtp", "True", "Ready");
    assert_eq!(
        f.native("smtp").unwrap()["password"],
        BASE64.encode(value.as_bytes())
    );
    // Without a cluster, by its public key.
    let file = f.keep.path().join("cluster.json");
    std::fs::write(&file, people.jane(&["seal", "--fetch-key"]).well()).unwrap();
    let key = format!("--cluster-key={}", file.display());
    let second = people
        .with("jane", &[&seal[..], &[&key]].concat(), "another")
        .well();
    f.apply(&second);
    eventually("the value that was sealed without a cluster", || {
        (f.native("smtp")?["password"] == BASE64.encode(b"another")).then_some(())
    });
    // The same text elsewhere is no value, and what was there stays.
    f.apply(&second.replace("smtp", "stolen"));
    f.wait_ready("stolen", "False", "SealInvalid");
    assert!(f.native("stolen").is_none());
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "stolen"]);
    // The file is of the newest key; one that is of none is refused.
    let path = f.keep.path().join("smtp.yaml");
    std::fs::write(&path, &second).unwrap();
    let rewrap = format!("--rewrap={}", path.display());
    let said = people.jane(&["seal", &rewrap]).well();
    assert!(said.contains("0 of 1"), "{said}");
    let id = second
        .split("strongroom1.")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    std::fs::write(&path, second.replace(id, "0123456789abcdef")).unwrap();
    people.jane(&["seal", &rewrap]).refused("does not have");
}

/// Who did what is told, to whom it may be, and nothing of a value stands anywhere on the way.
fn tells(f: &Fixture, people: &KubectlUsers<'_>) {
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

/// An installation that never comes up, because nothing binds its claim: the API is available all the same,
/// and namespaces go. It goes without a trace.
fn never_comes_up(f: &Fixture, people: &KubectlUsers<'_>) {
    let chart = concat!(env!("CARGO_MANIFEST_DIR"), "/../charts/strongroom");
    let class = "persistence.storageClass=of-nobody";
    let arguments = [
        "install",
        "strongroom",
        chart,
        "--set",
        class,
        "--set",
        ALL_NAMESPACES,
    ];
    f.helm(&arguments);
    f.extension_api_available();
    f.rolled_out("strongroom", "deployment/strongroom-front");
    let claim = f.json(&[
        "-n",
        "strongroom",
        "get",
        "persistentvolumeclaim",
        "data-strongroom-0",
    ]);
    assert_eq!(claim["status"]["phase"], "Pending");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=60s"]);
    people
        .with("admin", &["describe", "db-main"], "")
        .refused("has not issued the client certificate yet");
    people
        .with("admin", &["status"], "")
        .refused("the claim of the store is Pending");
    // It may make its own certificate and no other Secret, and tell of its own API alone.
    let front = "--as=system:serviceaccount:strongroom:strongroom-front";
    for (verb, object) in [
        ("create", "secrets"),
        ("create", "secrets/strongroom-front-tls"),
        ("patch", "secrets/strongroom-front-tls"),
        ("patch", "secrets/strongroom-root-key"),
        ("get", "secrets/strongroom-root-key"),
        ("patch", "apiservices/v1.apps"),
        ("create", "apiservices"),
    ] {
        let said = f
            .piped(&["-n", "strongroom", front, "auth", "can-i", verb, object], "")
            .1;
        assert_eq!(said.trim(), "no", "{verb} {object}");
    }
    f.helm(&["uninstall", "strongroom"]);
    f.kubectl(&["-n", "strongroom", "delete", "persistentvolumeclaim", "--all"]);
    eventually("the certificates to go with their Service", || {
        let secrets = f.json(&["-n", "strongroom", "get", "secrets"]);
        secrets["items"].as_array()?.is_empty().then_some(())
    });
}

/// Without the store the front still says what it is, so that namespaces can go.
fn goes(f: &Fixture, people: &KubectlUsers<'_>) {
    f.scale_strongroom(0);
    people
        .jane(&["describe", "db-main"])
        .refused("cannot reach Strongroom at https://strongroom-gateway.strongroom.svc:443");
    people
        .with("admin", &["status"], "")
        .refused("cannot reach Strongroom at https://strongroom-gateway.strongroom.svc:443");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=30s"]);
    f.scale_strongroom(1);
    eventually("strongroom to be back", || {
        people.jane(&["describe", "db-main"]).success.then_some(())
    });
}

#[test]
fn whoever_has_a_kubeconfig_gets_what_policies_allow_and_nobody_on_the_way_sees_it() {
    let f = Fixture::bare(Size::OneNode);
    f.cluster.load_strongroom().unwrap();
    for namespace in ["strongroom", "shop"] {
        f.kubectl(&["create", "namespace", namespace]);
    }
    let people = KubectlUsers {
        f: &f,
        heard: std::cell::RefCell::default(),
    };
    never_comes_up(&f, &people);
    f.install(&[]);
    f.rolled_out("strongroom", "deployment/strongroom-front");
    f.extension_api_available();
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: ManagedSecret\nmetadata: {name: db-main, namespace: shop}\nspec:\n  \
         source: {generate: {keys: {password: {password: {length: 40}}}}}\n  secret: {name: db-main}\n",
    );
    f.wait_ready("db-main", "True", "Ready");
    // `kubectl get secrets` is what it was.
    assert!(f.native("db-main").is_some());
    f.helm(&["test", "strongroom"]);
    administers(&f, &people);
    knocks(&f, &people);
    lives(&f, &people);
    explains(&f, &people);
    purges(&f, &people);
    rotates_what_was_read(&f, &people);
    seals(&f, &people);
    tells(&f, &people);
    // Either of the two will do.
    let pods = f.json(&[
        "-n",
        "strongroom",
        "get",
        "pods",
        "-l",
        "app.kubernetes.io/component=front",
    ]);
    let pod = pods["items"][0]["metadata"]["name"].as_str().unwrap();
    f.kubectl(&["-n", "strongroom", "delete", "pod", pod, "--wait=false"]);
    eventually("the other one to serve", || {
        people.jane(&["describe", "db-main"]).success.then_some(())
    });
    goes(&f, &people);
    // And with the release goes the API, and the certificates that were made for it.
    f.helm(&["uninstall", "strongroom"]);
    eventually("the certificates to go with their Service", || {
        let secrets = f.json(&["-n", "strongroom", "get", "secrets"]);
        let secrets = secrets["items"].as_array()?;
        let name = |secret: &Value| secret["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        secrets
            .iter()
            .all(|secret| !name(secret).starts_with("strongroom-front-"))
            .then_some(())
    });
    people
        .with("admin", &["describe", "db-main"], "")
        .refused("does not serve people.strongroom.dev");
    f.kubectl(&["create", "namespace", "passing"]);
    f.kubectl(&["delete", "namespace", "passing", "--timeout=30s"]);
}
