//! Words of the command line, facts of clusters, and what is printed of both.

use serde_json::{Value, json};

use super::facts::GatewayFacts;
use super::*;
use crate::fact::Fact;
use crate::installation::Place;

fn from<T: serde::de::DeserializeOwned>(json: Value) -> T {
    serde_json::from_value(json).unwrap()
}

fn arguments(what: &[&str], account: Option<&str>, action: Option<&str>) -> Arguments {
    Arguments {
        what: what.iter().map(|word| (*word).to_owned()).collect(),
        action: action.map(str::to_owned),
        stage: None,
        encryption_key: None,
        via: None,
        account: account.map(str::to_owned),
    }
}

#[test]
fn a_question_is_asked_in_two_ways() {
    let asked = |what: &[&str], account, action| {
        let question = Question::from_arguments(&arguments(what, account, action), "shop").unwrap();
        (question.principal, question.action, question.secret)
    };
    let some = |text: &str| Some(text.to_owned());
    let db = || "db".to_owned();
    assert_eq!(asked(&["db"], None, None), (None, None, db()));
    assert_eq!(asked(&["secret", "db"], None, None), (None, None, db()));
    assert_eq!(
        asked(&["secret", "db"], Some("app"), Some("PutSecretValue")),
        (some("shop/app"), some("PutSecretValue"), db())
    );
    assert_eq!(
        asked(&["secret", "db"], Some("pay/app"), None),
        (some("pay/app"), None, db())
    );
    assert_eq!(
        asked(&["me", "GetSecretValue", "db"], None, None),
        (None, some("GetSecretValue"), db())
    );
    assert_eq!(
        asked(&["jane", "GetSecretValue", "db"], None, None),
        (some("jane"), some("GetSecretValue"), db())
    );
    for (what, account, action) in [
        (&["shop/app", "db"][..], None, None),
        (&["me", "GetSecretValue", "db"][..], Some("app"), None),
        (&["me", "GetSecretValue", "db"][..], None, Some("PutSecretValue")),
    ] {
        let refused = Question::from_arguments(&arguments(what, account, action), "shop");
        assert!(matches!(refused, Err(Failure::Input(_))), "{what:?}");
    }
}

#[test]
fn only_a_service_account_is_taken_from_impersonation() {
    for (user, account, impersonated) in [
        (Some("serviceaccount/app"), Some("app"), None),
        (Some("serviceaccount/pay/app"), Some("pay/app"), None),
        (Some("jane"), None, Some("jane")),
        (
            Some("system:serviceaccount:shop:app"),
            None,
            Some("system:serviceaccount:shop:app"),
        ),
        (None, None, None),
    ] {
        let mut cluster = ClusterArguments {
            impersonate: user.map(str::to_owned),
            ..ClusterArguments::default()
        };
        let mut arguments = arguments(&["db"], None, None);
        arguments.take_account(&mut cluster);
        assert_eq!(arguments.account.as_deref(), account, "{user:?}");
        assert_eq!(cluster.impersonate.as_deref(), impersonated, "{user:?}");
    }
}

fn slices(ready: &[bool]) -> Value {
    let endpoints = ready.iter().enumerate();
    let endpoints: Vec<Value> = endpoints
        .map(|(number, ready)| json!({"addresses": [format!("10.1.2.{number}")], "conditions": {"ready": ready}}))
        .collect();
    json!([{
        "addressType": "IPv4", "metadata": {"name": "s"}, "endpoints": endpoints,
        "ports": [{"name": "https", "port": 8443}, {"name": "attestations", "port": 8444}],
    }])
}

fn policies(rules: &Value) -> Value {
    json!([{
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {}, "policyTypes": ["Egress"], "egress": rules},
    }])
}

/// A cluster in which an administrator sees that all is well.
fn good() -> ClusterFacts {
    ClusterFacts {
        account: Account {
            namespace: "shop".to_owned(),
            name: "checkout".to_owned(),
        },
        found: Fact::Seen(from(json!({"metadata": {"name": "checkout"}}))),
        place: Some(Place {
            namespace: "safe".to_owned(),
            name: "vault".to_owned(),
        }),
        gateway: GatewayFacts {
            name: "vault-gateway".to_owned(),
            port: "gateway".to_owned(),
            service: Fact::Seen(from(json!({
                "metadata": {"name": "vault-gateway"},
                "spec": {"clusterIP": "10.96.0.9", "selector": {"app": "vault"}},
            }))),
            endpoints: Fact::Seen(from(slices(&[true]))),
            home: Fact::Seen(from(json!({
                "metadata": {"name": "safe", "labels": {"kubernetes.io/metadata.name": "safe"}},
            }))),
        },
        ca: Fact::Seen(from(
            json!({"metadata": {"name": "strongroom-ca"}, "data": {"ca.crt": "x"}}),
        )),
        policies: Fact::Seen(Vec::new()),
        pods: Fact::Seen(Vec::new()),
    }
}

/// Items with results, in order.
fn results(facts: &ClusterFacts) -> Vec<AccessCheckResult> {
    checks(facts).iter().map(|check| check.result).collect()
}

fn hidden<T>() -> Fact<T> {
    Fact::Hidden("`get` of something".to_owned())
}

#[test]
fn each_object_of_the_cluster_is_a_check_with_a_command_that_mends_it() {
    use AccessCheckResult as R;
    assert_eq!(
        results(&good()),
        [R::Reachable, R::CaThere, R::EgressOpen, R::AccountExists]
    );
    let with_endpoints = |endpoints, service| ClusterFacts {
        gateway: GatewayFacts {
            endpoints,
            service,
            ..good().gateway
        },
        ..good()
    };
    let there = || good().gateway.service;
    for (facts, number, expected, remedy) in [
        (
            with_endpoints(Fact::Seen(from(slices(&[false]))), there()),
            0,
            R::NoEndpoints,
            Some("kubectl -n safe get pods"),
        ),
        (
            with_endpoints(Fact::Seen(Vec::new()), Fact::Absent),
            0,
            R::NoService,
            Some("kubectl -n safe get services"),
        ),
        (with_endpoints(hidden(), there()), 0, R::NotVisible, None),
        (with_endpoints(Fact::Absent, Fact::Absent), 0, R::NotVisible, None),
        (
            with_endpoints(Fact::Seen(from(slices(&[false, true]))), hidden()),
            0,
            R::Reachable,
            None,
        ),
        (
            ClusterFacts {
                ca: Fact::Absent,
                ..good()
            },
            1,
            R::CaMissing,
            Some("kubectl label namespace shop strongroom.dev/ca=true"),
        ),
        (
            ClusterFacts {
                ca: Fact::Seen(from(json!({"metadata": {}, "data": {"other": "x"}}))),
                ..good()
            },
            1,
            R::CaMissing,
            Some("kubectl label namespace shop strongroom.dev/ca=true"),
        ),
        (
            ClusterFacts {
                ca: hidden(),
                ..good()
            },
            1,
            R::NotVisible,
            None,
        ),
        (
            ClusterFacts {
                policies: hidden(),
                ..good()
            },
            2,
            R::NotVisible,
            None,
        ),
        (
            ClusterFacts {
                policies: Fact::Seen(from(policies(
                    &json!([{"to": [{"ipBlock": {"cidr": "10.96.0.0/12"}}]}]),
                ))),
                ..good()
            },
            2,
            R::EgressUnclear,
            Some("kubectl -n shop get networkpolicies -o yaml"),
        ),
        (
            ClusterFacts {
                found: Fact::Absent,
                ..good()
            },
            3,
            R::NoSuchAccount,
            Some("kubectl -n shop create serviceaccount checkout"),
        ),
        (
            ClusterFacts {
                found: Fact::Unreadable("the API server says: no".to_owned()),
                ..good()
            },
            3,
            R::NotVisible,
            None,
        ),
    ] {
        let check = &checks(&facts)[number];
        assert_eq!(
            (check.result, check.remedy.as_deref()),
            (expected, remedy),
            "{check:?}"
        );
    }
    let not_seen = &checks(&with_endpoints(hidden(), there()))[0];
    assert_eq!(
        not_seen.detail,
        "not visible to you: this takes `get` of something"
    );
}

#[test]
fn a_network_policy_that_blocks_is_told_of_the_pods_that_it_selects() {
    let pod = |account: &str, app: &str, more: Value| {
        let mut pod = json!({
            "metadata": {"name": app, "labels": {"app": app}},
            "spec": {"serviceAccountName": account, "containers": []}, "status": {"phase": "Running"},
        });
        for (field, value) in more.as_object().unwrap() {
            pod[field] = value.clone();
        }
        pod
    };
    let of_api = json!([{
        "metadata": {"name": "deny", "namespace": "shop"},
        "spec": {"podSelector": {"matchLabels": {"app": "api"}}, "policyTypes": ["Egress"]},
    }]);
    let facts = |pods: Value| ClusterFacts {
        policies: Fact::Seen(from(of_api.clone())),
        pods: Fact::Seen(from(pods)),
        ..good()
    };
    let result = |pods: Value| results(&facts(pods))[2];
    let api = || pod("checkout", "api", json!({}));
    assert_eq!(result(json!([api()])), AccessCheckResult::EgressBlockedBy);
    // Pods of another account, that have ended, or whose network is the node's.
    let ended = pod("checkout", "api", json!({"status": {"phase": "Succeeded"}}));
    let of_node = pod(
        "checkout",
        "api",
        json!({"spec": {"serviceAccountName": "checkout", "hostNetwork": true, "containers": []}}),
    );
    for other in [pod("other", "api", json!({})), ended, of_node] {
        assert_eq!(result(json!([other])), AccessCheckResult::EgressUnclear);
        assert_eq!(result(json!([other, api()])), AccessCheckResult::EgressBlockedBy);
    }
    assert_eq!(
        result(json!([pod("checkout", "web", json!({}))])),
        AccessCheckResult::EgressOpen
    );
    let blocked = &checks(&facts(json!([api()])))[2];
    let remedy = blocked.remedy.as_deref().unwrap();
    for part in [
        "kubectl apply -f - <<'YAML'\n",
        "name: deny-to-vault-gateway",
        "app: api",
        "kubernetes.io/metadata.name",
        "port: 8443",
    ] {
        assert!(remedy.contains(part), "{remedy}");
    }
}

fn check(name: AccessCheckName, result: AccessCheckResult, detail: &str) -> AccessCheck {
    AccessCheck::new(name, result, detail)
}

/// What Strongroom says of somebody who may read, and has not done so yet.
fn fine() -> ExplainAccessAnswer {
    use AccessCheckName as N;
    use AccessCheckResult as R;
    let text =
        "secrets:GetSecretValue on secret `db-main` of namespace `shop` for serviceaccount shop/checkout";
    ExplainAccessAnswer {
        allowed: true,
        principal: "serviceaccount shop/checkout".to_owned(),
        action: "secrets:GetSecretValue".into(),
        explanation: format!(
            "allowed: {text}\nstatement 1 of SecretPolicy `p` in namespace `shop` allows it\n"
        ),
        statements: Vec::new(),
        by_rbac: false,
        missing_policies: Vec::new(),
        product: None,
        secret: "it is live".to_owned(),
        key: None,
        checks: vec![
            check(
                N::Permission,
                R::Allowed,
                "statement 1 of SecretPolicy `p` in namespace `shop` allows it",
            ),
            check(N::Secret, R::Normal, "it is live, and version `v-1` is Current"),
            check(
                N::Network,
                R::NeverSeen,
                "it has not read the secret over the API within a day, as far as is known",
            ),
            check(N::Key, R::NoKey, "it lies under the default key of its namespace"),
            check(
                N::Rate,
                R::Left,
                "reads a second: 450 of 450 left to the caller, 449 of 450 left to its namespace",
            ),
            check(N::Product, R::NoProduct, "no product owns it"),
            check(
                N::Quota,
                R::NoQuota,
                "it makes nothing that counts on a product's quota",
            ),
            check(
                N::Credentials,
                R::NotShown,
                "it did not ask itself, so no token of it was seen",
            ),
        ],
    }
}

/// The answer with what is seen in the cluster.
fn with(mut answer: ExplainAccessAnswer, facts: &ClusterFacts) -> ExplainAccessAnswer {
    answer.checks = merged(answer.checks, checks(facts));
    answer
}

/// Somebody whom no policy allows it, under a key that is disabled, where the cluster is half seen.
fn denied() -> ExplainAccessAnswer {
    use AccessCheckName as N;
    use AccessCheckResult as R;
    let mut answer = fine();
    answer.allowed = false;
    answer.explanation = answer.explanation.replace("allowed: ", "denied: ");
    answer.checks[0] = check(
        N::Permission,
        R::PolicyDenied,
        "no policy in namespace `shop` allows secrets:GetSecretValue",
    )
    .mended_by(strongroom_api::v1::apply_command(["kind: SecretPolicy\n"]));
    answer.checks[3] = check(N::Key, R::KeyDisabled, "EncryptionKey `pay` is disabled")
        .mended_with(&[("NAMESPACE", "shop"), ("KEY", "pay")]);
    let facts = ClusterFacts {
        found: Fact::Hidden("`get` of ServiceAccount `checkout` in namespace `shop`".to_owned()),
        ..good()
    };
    with(answer, &facts)
}

/// The code, which can only be seen as text.
fn code(outcome: Result<(), Failure>) -> String {
    let code = outcome.map_or_else(
        |failure| failure.exit_code(),
        |()| std::process::ExitCode::SUCCESS,
    );
    format!("{code:?}")
}

fn code_of(number: u8) -> String {
    format!("{:?}", std::process::ExitCode::from(number))
}

#[test]
fn a_screen_begins_with_what_fails_and_how_to_mend_it() {
    let denied = denied();
    assert_eq!(text(&denied) + "\n", include_str!("testdata/denied.txt"));
    assert_eq!(code(outcome(&denied)), code_of(1));
    let fine = with(fine(), &good());
    assert_eq!(text(&fine) + "\n", include_str!("testdata/allowed.txt"));
    assert_eq!(code(outcome(&fine)), code_of(0));
}

#[test]
fn what_is_allowed_and_fails_nonetheless_is_neither_allowed_nor_denied() {
    let facts = ClusterFacts {
        policies: Fact::Seen(from(policies(&json!([])))),
        ..good()
    };
    let blocked = with(fine(), &facts);
    assert_eq!(Verdict::of_answer(&blocked), Verdict::Fails);
    let screen = text(&blocked);
    assert!(
        screen.starts_with("fails: secrets:GetSecretValue on secret"),
        "{screen}"
    );
    assert!(
        screen.contains("\n\nnetwork egress failed: EgressBlockedBy: "),
        "{screen}"
    );
    assert_eq!(code(outcome(&blocked)), code_of(1));
}

#[test]
fn the_code_tells_a_failure_from_what_could_not_be_seen() {
    let half = ClusterFacts {
        ca: hidden(),
        ..good()
    };
    let unknown = with(fine(), &half);
    assert_eq!(Verdict::of_answer(&unknown), Verdict::Allowed);
    assert_eq!(code(outcome(&unknown)), code_of(2));
    // Who has just been seen reaches the gateway.
    let mut seen = fine();
    seen.checks[2] = check(
        AccessCheckName::Network,
        AccessCheckResult::Reachable,
        "it read the secret 1 s ago",
    );
    assert_eq!(code(outcome(&with(seen, &half))), code_of(0));
    // A denial of an earlier version, which has no checks.
    let mut bare = fine();
    bare.allowed = false;
    bare.checks = Vec::new();
    assert_eq!(code(outcome(&bare)), code_of(1));
    let refused = Failure::CannotBeAsked(Box::new(Failure::Forbidden("no".to_owned())));
    assert!(refused.to_string().starts_with("no; ask an admin"));
    assert_eq!(code(Err(refused)), code_of(2));
}

#[test]
fn what_was_asked_and_what_was_seen_stand_in_the_order_of_the_list() {
    let all = merged(fine().checks, checks(&good()));
    let names: Vec<AccessCheckName> = all.iter().map(|check| check.check).collect();
    assert!(names.is_sorted(), "{names:?}");
    let items: Vec<Option<&str>> = all.iter().map(|check| check.item.as_deref()).collect();
    assert_eq!(items[2..6], [None, Some("service"), Some("ca"), Some("egress")]);
    // The account that is seen says more than that it did not ask.
    assert_eq!(all.last().unwrap().result, AccessCheckResult::AccountExists);
    // Whoever asks itself has proven more than that it exists.
    let mut own = fine().checks;
    own[7] = check(AccessCheckName::Credentials, AccessCheckResult::Accepted, "it is");
    let own = merged(own, checks(&good()));
    let credentials: Vec<&AccessCheck> = own
        .iter()
        .filter(|check| check.check == AccessCheckName::Credentials)
        .collect();
    assert_eq!(credentials.len(), 1);
    assert_eq!(credentials[0].result, AccessCheckResult::Accepted);
}

#[test]
fn a_secret_that_is_not_there_is_a_check_that_fails() {
    let problem: ProblemDocument = from(json!({
        "type": "urn:strongroom:problem:SecretNotFound", "title": "no such secret", "status": 404,
        "code": "SecretNotFound", "detail": "there is no secret `db` in namespace `shop` that you may know of",
        "requestId": "r",
    }));
    let question =
        Question::from_arguments(&arguments(&["secret", "db"], Some("checkout"), None), "shop").unwrap();
    let answer = absent(&question, "shop", &problem);
    assert_eq!(
        Account::of_principal(&answer.principal),
        Some(good().account),
        "the cluster is looked at all the same"
    );
    let screen = text(&answer);
    assert!(screen.starts_with("denied: there is no secret `db`"), "{screen}");
    assert!(
        screen.ends_with("\nkubectl -n shop get managedsecrets"),
        "{screen}"
    );
    assert_eq!(code(outcome(&answer)), code_of(1));
    assert_eq!(Account::of_principal("user jane"), None);
    assert_eq!(Account::of_principal("you"), None);
}
