//! Why somebody cannot read, and what mends it.

use strongroom_api::v1::{AccessCheck, AccessCheckResult, AccessCheckState, ExplainAccessAnswer};

use crate::KubectlUsers;
use crate::support::{Fixture, eventually};

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
pub(super) fn explains(f: &Fixture, people: &KubectlUsers<'_>) {
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
