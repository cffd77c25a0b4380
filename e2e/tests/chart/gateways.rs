//! Dedicated gateways: each is an argument, a port, a Service and a NetworkPolicy, and wrong ones are
//! refused; without a cluster.

use serde_json::{Value, json};

use crate::support::chart::render;
use crate::{document, kinds};

/// A gateway with every value, and one with the least.
const TWO: [&str; 15] = [
    "gateways[0].name=aigw",
    "gateways[0].port=8453",
    "gateways[0].names={aigw.example.org,192.0.2.7}",
    "gateways[0].readRate=2000",
    "gateways[0].writeRate=0",
    "gateways[0].totalRate=8000",
    "gateways[0].requests=512",
    "gateways[0].connections=4096",
    "gateways[0].products={aigw,aigw-edge}",
    "gateways[0].from[0].namespaceSelector.matchLabels.tenant=edge",
    "gateways[0].from[1].podSelector.matchLabels.app=edge",
    "gateways[1].name=pg",
    "gateways[1].port=8454",
    "gateways[1].products={pg}",
    "networkPolicy.enabled=true",
];

fn container(rendered: &str) -> Value {
    document(rendered, "StatefulSet", "strongroom")["spec"]["template"]["spec"]["containers"][0].clone()
}

fn arguments(rendered: &str) -> Vec<String> {
    let container = container(rendered);
    let all = container["args"].as_array().unwrap().iter();
    let said = all.map(|argument| argument.as_str().unwrap().to_owned());
    said.filter(|argument| argument.starts_with("--gateway="))
        .collect()
}

#[test]
fn a_dedicated_gateway_is_an_argument_a_port_a_service_and_a_network_policy() {
    let plain = render(&[]).unwrap();
    let rendered = render(&TWO).unwrap();
    assert!(arguments(&plain).is_empty());
    assert_eq!(
        arguments(&rendered),
        [
            "--gateway=aigw=0.0.0.0:8453,service=strongroom-gateway-aigw,readRate=2000,writeRate=0,totalRate=8000,\
             requests=512,connections=4096,names=aigw.example.org+192.0.2.7,products=aigw+aigw-edge",
            "--gateway=pg=0.0.0.0:8454,service=strongroom-gateway-pg,products=pg",
        ]
    );
    let ports = container(&rendered)["ports"].clone();
    for port in [
        json!({"name": "gateway", "containerPort": 8443}),
        json!({"name": "aigw", "containerPort": 8453}),
        json!({"name": "pg", "containerPort": 8454}),
    ] {
        assert!(ports.as_array().unwrap().contains(&port), "{port}: {ports}");
    }
    for kind in ["Service", "NetworkPolicy"] {
        assert_eq!(kinds(&rendered, kind), kinds(&plain, kind) + 2, "{kind}");
    }
    for name in ["aigw", "pg"] {
        let service = document(&rendered, "Service", &format!("strongroom-gateway-{name}"));
        assert_eq!(
            service["spec"]["ports"],
            json!([{"name": "https", "port": 443, "targetPort": name}])
        );
        assert_eq!(
            service["spec"]["selector"]["app.kubernetes.io/component"],
            "serve"
        );
        let policy = document(&rendered, "NetworkPolicy", &format!("strongroom-gateway-{name}"));
        assert_eq!(
            policy["spec"]["ingress"][0]["ports"],
            json!([{"port": name, "protocol": "TCP"}])
        );
        let expected = match name {
            "aigw" => json!([
                {"namespaceSelector": {"matchLabels": {"tenant": "edge"}}},
                {"podSelector": {"matchLabels": {"app": "edge"}}},
            ]),
            // Everybody, as at the shared gateway.
            _ => Value::Null,
        };
        assert_eq!(policy["spec"]["ingress"][0]["from"], expected, "{name}");
    }
    // No other policy opens their ports.
    let policy = document(&rendered, "NetworkPolicy", "strongroom")["spec"]["ingress"].clone();
    assert!(!policy.to_string().contains("aigw"), "{policy}");
    // Their addresses stand in the certificate.
    let role = document(&rendered, "Role", "strongroom").to_string();
    for name in ["strongroom-gateway-aigw", "strongroom-gateway-pg"] {
        assert!(role.contains(&format!("\"{name}\"")), "{role}");
    }
    let open = render(&[&TWO[..], &["networkPolicy.enabled=false"]].concat()).unwrap();
    assert_eq!(kinds(&open, "NetworkPolicy"), 0);
    assert_eq!(kinds(&open, "Service"), kinds(&rendered, "Service"));
}

#[test]
fn what_can_be_no_gateway_is_refused() {
    let one = [
        "gateways[0].name=aigw",
        "gateways[0].port=8453",
        "gateways[0].products={aigw}",
    ];
    render(&one).unwrap();
    assert!(render(&one[..2]).is_err(), "it is for nobody");
    for wrong in [
        "gateways[0].name=shared",
        "gateways[0].name=gateway",
        "gateways[0].name=AIGW",
        "gateways[0].name=1a",
        "gateways[0].name=a--b",
        "gateways[0].name=abcdefghijklmnop",
        "gateways[0].port=443",
        "gateways[0].port=8443",
        "gateways[0].port=null",
        "gateways[0].names={a+b}",
        "gateways[0].readRate=-1",
        "gateways[0].requests=7",
        "gateways[0].connections=65537",
        "gateways[0].products={a!b}",
        "gateways[0].products={strongroom}",
        "gateways[0].products=null",
        "gateways[0].from=all",
        "gateways[0].unknown=1",
    ] {
        assert!(render(&[&one[..], &[wrong]].concat()).is_err(), "{wrong}");
    }
    let other = |name: &str, port: &str| {
        let (name, port) = (
            format!("gateways[1].name={name}"),
            format!("gateways[1].port={port}"),
        );
        let products = "gateways[1].products={pg}";
        render(&[&one[..], &[name.as_str(), port.as_str(), products]].concat())
    };
    other("pg", "8454").unwrap();
    let refused = other("aigw", "8454").unwrap_err();
    assert!(refused.contains("two have the name `aigw`"), "{refused}");
    let refused = other("pg", "8453").unwrap_err();
    assert!(
        refused.contains("`aigw` and `pg` have the port 8453"),
        "{refused}"
    );
    let long = [
        "fullnameOverride=a123456789012345678901234567890123456789",
        "gateways[0].name=abcdefghijklmno",
        "gateways[0].port=8453",
        "gateways[0].products={aigw}",
    ];
    let refused = render(&long).unwrap_err();
    assert!(refused.contains("more than 63 characters"), "{refused}");
}
