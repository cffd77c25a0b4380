//! NetworkPolicies, what is known of both ends, and whether they let a pod through.

use serde_json::{Value, json};

use super::*;

/// A policy for egress with these rules, of the pods that a selector selects.
fn policy(name: &str, pods: Value, rules: Value) -> NetworkPolicy {
    serde_json::from_value(json!({
        "apiVersion": "networking.k8s.io/v1", "kind": "NetworkPolicy",
        "metadata": {"name": name, "namespace": "shop"},
        "spec": {"podSelector": pods, "policyTypes": ["Egress"], "egress": rules},
    }))
    .unwrap()
}

fn labels(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
        .collect()
}

fn pod(pairs: &[(&str, &str)]) -> KnownLabels {
    KnownLabels::complete(labels(pairs))
}

/// The gateway, as an administrator sees it.
fn gateway() -> Destination {
    Destination {
        namespace: Some("strongroom".to_owned()),
        namespace_labels: pod(&[(NAMESPACE_NAME, "strongroom"), ("team", "platform")]),
        pod_labels: KnownLabels::partial(labels(&[("app", "strongroom")])),
        addresses: vec!["10.1.2.3".parse().unwrap()],
        service_addresses: vec!["10.96.0.9".parse().unwrap()],
        ports: vec![8443],
        port_name: "gateway".to_owned(),
    }
}

/// The same, as whoever sees no object of its namespace.
fn hidden_gateway() -> Destination {
    Destination {
        namespace: None,
        namespace_labels: KnownLabels::default(),
        pod_labels: KnownLabels::default(),
        addresses: Vec::new(),
        service_addresses: Vec::new(),
        ports: Vec::new(),
        port_name: "gateway".to_owned(),
    }
}

/// What is found, with the names of the policies.
fn found(policies: &[NetworkPolicy], pods: &[KnownLabels], gateway: &Destination) -> String {
    match egress(policies, pods, gateway) {
        EgressVerdict::Open => "open".to_owned(),
        EgressVerdict::Blocked { names, .. } => format!("blocked {names}"),
        EgressVerdict::Unclear { names } => format!("unclear {names}"),
    }
}

#[test]
fn a_pod_is_kept_back_where_a_policy_selects_it_and_none_lets_it_through() {
    let deny = || policy("deny", json!({}), json!([]));
    let of_web = || policy("web", json!({"matchLabels": {"app": "web"}}), json!([]));
    let everywhere = || policy("all", json!({}), json!([{}]));
    let ingress = || {
        let mut policy = policy("in", json!({}), Value::Null);
        policy.spec.as_mut().unwrap().policy_types = Some(vec!["Ingress".to_owned()]);
        policy
    };
    let (api, web) = (pod(&[("app", "api")]), pod(&[("app", "web")]));
    for (policies, pods, expected) in [
        (vec![], vec![api.clone()], "open"),
        (vec![ingress()], vec![api.clone()], "open"),
        (vec![deny()], vec![api.clone()], "blocked `deny`"),
        (vec![of_web()], vec![api.clone()], "open"),
        (vec![of_web()], vec![web.clone()], "blocked `web`"),
        // One of several is enough to be told.
        (vec![of_web()], vec![api.clone(), web.clone()], "blocked `web`"),
        (vec![of_web()], vec![web.clone(), api.clone()], "blocked `web`"),
        // Policies add up.
        (vec![deny(), everywhere()], vec![api.clone()], "open"),
        (vec![deny(), of_web()], vec![web.clone()], "blocked `deny`, `web`"),
    ] {
        assert_eq!(found(&policies, &pods, &gateway()), expected, "{policies:?}");
    }
}

#[test]
fn where_no_pod_is_known_a_policy_for_all_of_them_counts_and_others_may() {
    let any = [KnownLabels::default()];
    let deny = || policy("deny", json!({}), json!([]));
    let of_web = |rules| policy("web", json!({"matchLabels": {"app": "web"}}), rules);
    for (policies, expected) in [
        (vec![deny()], "blocked `deny`"),
        (vec![of_web(json!([]))], "unclear `web`"),
        (vec![of_web(json!([{}]))], "open"),
        (vec![deny(), of_web(json!([{}]))], "unclear `deny`, `web`"),
        (vec![deny(), of_web(json!([]))], "blocked `deny`"),
    ] {
        assert_eq!(found(&policies, &any, &gateway()), expected, "{policies:?}");
    }
}

#[test]
fn a_rule_lets_through_what_its_ports_and_its_peers_do() {
    let namespace = |labels: Value| json!({"namespaceSelector": {"matchLabels": labels}});
    let block = |cidr: &str| json!({"ipBlock": {"cidr": cidr}});
    let own = json!({"matchLabels": {NAMESPACE_NAME: "strongroom"}});
    for (rule, seen, hidden) in [
        (json!({}), "open", "open"),
        (json!({"ports": [{"port": 8443}]}), "open", "unclear `p`"),
        (json!({"ports": [{"port": 443}]}), "blocked `p`", "unclear `p`"),
        (
            json!({"ports": [{"port": 443}, {"port": 8443}]}),
            "open",
            "unclear `p`",
        ),
        (
            json!({"ports": [{"port": 8000, "endPort": 9000}]}),
            "open",
            "unclear `p`",
        ),
        (
            json!({"ports": [{"port": 8444, "endPort": 9000}]}),
            "blocked `p`",
            "unclear `p`",
        ),
        (json!({"ports": [{"port": "gateway"}]}), "open", "open"),
        (json!({"ports": [{"port": "http"}]}), "blocked `p`", "blocked `p`"),
        (
            json!({"ports": [{"port": 8443, "protocol": "UDP"}]}),
            "blocked `p`",
            "blocked `p`",
        ),
        (json!({"ports": [{"protocol": "TCP"}]}), "open", "open"),
        (
            json!({"to": [namespace(json!({NAMESPACE_NAME: "strongroom"}))]}),
            "open",
            "unclear `p`",
        ),
        (
            json!({"to": [namespace(json!({NAMESPACE_NAME: "kube-system"}))]}),
            "blocked `p`",
            "unclear `p`",
        ),
        (
            json!({"to": [namespace(json!({"team": "shop"}))]}),
            "blocked `p`",
            "unclear `p`",
        ),
        (json!({"to": [{"namespaceSelector": {}}]}), "open", "open"),
        // Of the policy's own namespace, which the gateway is not in.
        (json!({"to": [{"podSelector": {}}]}), "blocked `p`", "unclear `p`"),
        (
            json!({"to": [{"namespaceSelector": own, "podSelector": {"matchLabels": {"app": "strongroom"}}}]}),
            "open",
            "unclear `p`",
        ),
        (
            json!({"to": [{"namespaceSelector": own, "podSelector": {"matchLabels": {"app": "other"}}}]}),
            "blocked `p`",
            "unclear `p`",
        ),
        // Pods may have labels that the Service does not ask for.
        (
            json!({"to": [{"namespaceSelector": own, "podSelector": {"matchLabels": {"tier": "core"}}}]}),
            "unclear `p`",
            "unclear `p`",
        ),
        (json!({"to": [block("10.1.0.0/16")]}), "open", "unclear `p`"),
        (
            json!({"to": [block("10.2.0.0/16")]}),
            "blocked `p`",
            "unclear `p`",
        ),
        (json!({"to": [block("0.0.0.0/0")]}), "open", "unclear `p`"),
        (json!({"to": [block("fd00::/8")]}), "blocked `p`", "unclear `p`"),
        (json!({"to": [block("nonsense")]}), "unclear `p`", "unclear `p`"),
        // Addresses of Services become those of pods before or after.
        (
            json!({"to": [block("10.96.0.0/12")]}),
            "unclear `p`",
            "unclear `p`",
        ),
        (
            json!({"to": [{"ipBlock": {"cidr": "0.0.0.0/0", "except": ["10.0.0.0/8"]}}]}),
            "blocked `p`",
            "unclear `p`",
        ),
        (
            json!({"to": [block("10.2.0.0/16"), namespace(json!({"team": "platform"}))]}),
            "open",
            "unclear `p`",
        ),
        (
            json!({"ports": [{"port": 443}], "to": [block("10.1.0.0/16")]}),
            "blocked `p`",
            "unclear `p`",
        ),
    ] {
        let policies = [policy("p", json!({}), json!([rule]))];
        let pods = [pod(&[])];
        assert_eq!(found(&policies, &pods, &gateway()), seen, "{rule}");
        assert_eq!(found(&policies, &pods, &hidden_gateway()), hidden, "{rule}");
    }
}

#[test]
fn a_selector_selects_by_each_operator_and_says_so_where_a_label_is_not_known() {
    use Certainty::{No, Unclear, Yes};
    let (known, partial) = (
        pod(&[("app", "api")]),
        KnownLabels::partial(labels(&[("app", "api")])),
    );
    for (operator, key, values, complete, incomplete) in [
        ("In", "app", json!(["api", "web"]), Yes, Yes),
        ("In", "app", json!(["web"]), No, No),
        ("In", "tier", json!(["a"]), No, Unclear),
        ("NotIn", "app", json!(["web"]), Yes, Yes),
        ("NotIn", "app", json!(["api"]), No, No),
        ("NotIn", "tier", json!(["a"]), Yes, Unclear),
        ("Exists", "app", json!(null), Yes, Yes),
        ("Exists", "tier", json!(null), No, Unclear),
        ("DoesNotExist", "app", json!(null), No, No),
        ("DoesNotExist", "tier", json!(null), Yes, Unclear),
        ("Gt", "app", json!(["1"]), Unclear, Unclear),
    ] {
        let selector = json!({"matchExpressions": [{"key": key, "operator": operator, "values": values}]});
        let selector: LabelSelector = serde_json::from_value(selector).unwrap();
        let found = (selects(&selector, &known), selects(&selector, &partial));
        assert_eq!(found, (complete, incomplete), "{operator} {key} {values}");
    }
    let both: LabelSelector = serde_json::from_value(json!({
        "matchLabels": {"app": "api"}, "matchExpressions": [{"key": "tier", "operator": "Exists"}],
    }))
    .unwrap();
    assert_eq!(selects(&both, &known), No);
    assert_eq!(selects(&both, &partial), Unclear);
}

#[test]
fn a_policy_that_does_not_say_what_it_is_about_is_about_egress_if_it_has_rules_for_it() {
    let silent = |rules: Value| {
        let mut policy = policy("p", json!({}), rules);
        policy.spec.as_mut().unwrap().policy_types = None;
        policy
    };
    assert!(!isolates(&silent(Value::Null)));
    assert!(isolates(&silent(json!([{"ports": [{"port": 53}]}]))));
    let mut bare = silent(Value::Null);
    bare.spec = None;
    assert!(!isolates(&bare));
}

#[test]
fn what_is_suggested_lets_the_same_pods_through_and_selects_no_other() {
    let selector = json!({"matchLabels": {"app": "api"}});
    let deny = policy("deny", selector.clone(), json!([]));
    let text = allowing(&deny, "shop", "strongroom-gateway", &gateway()).unwrap();
    let suggested: NetworkPolicy = serde_saphyr::from_str(&text).unwrap();
    assert_eq!(suggested.name_any(), "deny-to-strongroom-gateway");
    let spec = serde_json::to_value(&suggested.spec).unwrap();
    assert_eq!(spec["podSelector"], selector);
    let api = [pod(&[("app", "api")])];
    assert_eq!(found(&[deny.clone(), suggested], &api, &gateway()), "open");
    // Of a gateway that is not seen whole, by what is known.
    let half = Destination {
        addresses: Vec::new(),
        ports: Vec::new(),
        pod_labels: KnownLabels::default(),
        ..gateway()
    };
    let text = allowing(&deny, "shop", "strongroom-gateway", &half).unwrap();
    assert!(text.contains("port: gateway"), "{text}");
    assert_eq!(allowing(&deny, "shop", "", &hidden_gateway()), None);
}
