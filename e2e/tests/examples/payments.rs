//! The AI gateway: a payment credential under the tenant's key and an API key, made over the API, and read
//! on a data path.

use data_encoding::{BASE64, HEXLOWER};
use hmac::{Hmac, KeyInit, Mac};
use serde_json::{Value, json};
use sha2::Sha256;

use crate::apply;
use crate::https::{Https, address};
use crate::support::answers::{bytes, code};
use crate::support::{Fixture, eventually};

const PAYMENTS: &str = "aigw!payments";
const API_KEY: &str = "aigw!api-key";
/// How many requests are signed in one go.
const REQUESTS: usize = 5_000;

/// The value of a credential, where the caller may read it.
fn value(https: &Https<'_>, account: &str, secret: &str) -> Option<Vec<u8>> {
    let (status, answer) = https.read(account, secret);
    (status == 200).then(|| bytes(&answer)["value"].clone())
}

/// The value of a credential in the files of the tenant's pod.
fn by_volume(f: &Fixture, name: &str) -> Vec<u8> {
    let path = format!("/credentials/{name}/value");
    let exec = ["-n", "shop", "exec", "storefront", "--", "base64", "-w0", &path];
    BASE64.decode(f.kubectl(&exec).as_bytes()).unwrap()
}

/// The gateway's data path.
struct DataPath<'a> {
    f: &'a Fixture,
    address: String,
}

impl DataPath<'_> {
    /// The status and the answer to a request to sign this text.
    fn sign(&self, credential: &str, text: &str) -> String {
        let url = format!("http://{}:8080/sign/shop/{credential}", self.address);
        self.f
            .on_node(&format!("curl -sS -w ' %{{http_code}}' -d '{text}' {url}"))
    }

    /// How many answers of many requests had each status, as `COUNT STATUS`.
    fn load(&self, credential: &str) -> String {
        let url = format!(
            "http://{}:8080/sign/shop/{credential}?[1-{REQUESTS}]",
            self.address
        );
        self.f.on_node(&format!(
            "curl -sS --parallel --parallel-max 16 -o /dev/null -w '%{{http_code}}\\n' -d hello '{url}' | sort | uniq -c"
        ))
    }
}

/// What Strongroom counted of the requests that came by one of its gateways.
fn answers_at(f: &Fixture, listener: &str) -> String {
    let pod = f.json(&["-n", "strongroom", "get", "pod", "strongroom-0"]);
    let address = pod["status"]["podIP"].as_str().unwrap();
    let series = format!("strongroom_gateway_requests_total{{listener=\"{listener}\"");
    f.on_node(&format!(
        "curl -sS http://{address}:8080/metrics | grep -F '{series}'"
    ))
}

fn signature(value: &[u8], text: &str) -> String {
    let mut mac = <Hmac<Sha256> as KeyInit>::new_from_slice(value).unwrap();
    mac.update(text.as_bytes());
    format!("{} 200", HEXLOWER.encode(&mac.finalize().into_bytes()))
}

pub(crate) fn credentials_by_api(f: &Fixture, https: &Https<'_>) {
    apply(f, "ai-gateway/deploy/gateway.yaml");
    let own = "PAID_GATEWAY=https://strongroom-gateway-aigw.strongroom.svc";
    f.kubectl(&["-n", "aigw-system", "set", "env", "deployment/ai-gateway", own]);
    f.rolled_out("aigw-system", "deployment/ai-gateway");
    for manifest in ["payments", "partner"] {
        apply(f, &format!("ai-gateway/tenant/{manifest}.yaml"));
    }
    f.kubectl(&[
        "annotate",
        "namespace",
        "shop",
        "aigw.example.org/encryption-key=payments",
    ]);
    let payments = eventually("the payment credential", || {
        value(https, "shop/checkout", PAYMENTS)
    });
    let api_key = eventually("the API key", || value(https, "shop/checkout", API_KEY));
    for (secret, hosting, key) in [
        (PAYMENTS, "Paid", json!("payments")),
        (API_KEY, "Free", Value::Null),
    ] {
        let (_, described) = https.ask("shop/checkout", secret, None);
        assert_eq!(described["owningProduct"], "aigw");
        assert_eq!(described["hosting"], hosting);
        assert_eq!(described["encryptionKey"], key);
    }

    // By volume too.
    apply(f, "ai-gateway/tenant/pod.yaml");
    f.wait_pod("storefront");
    assert_eq!(by_volume(f, "payments"), payments);
    assert_eq!(by_volume(f, "api-key"), api_key);

    // From another namespace with policies of both; what is free stays in its namespace.
    assert_eq!(value(https, "partner/settlement", PAYMENTS).unwrap(), payments);
    assert_eq!(https.ended("partner/settlement", API_KEY).0, 404);
    assert_eq!(https.ended("shop/orders", PAYMENTS).0, 404);

    // A user writes nothing.
    let mine = json!({"data": {"value": "bWluZQ=="}});
    for secret in [PAYMENTS, API_KEY] {
        let path = format!("{secret}/versions/mine");
        let (status, answer) = https.ask("shop/checkout", &path, Some(&mine));
        assert_eq!((status, code(&answer).as_str()), (403, "ProductManaged"));
        let detail = answer["detail"].as_str().unwrap();
        assert!(detail.contains("managed by product `aigw`"), "{detail}");
    }

    let path = DataPath {
        f,
        address: address(f, "aigw-system", "ai-gateway"),
    };
    assert_eq!(path.sign("payments", "hello"), signature(&payments, "hello"));
    assert_eq!(path.sign("api-key", "hello"), signature(&api_key, "hello"));
    assert!(path.sign("orders-admin", "hello").ends_with(" 404"));
    for credential in ["payments", "api-key"] {
        assert_eq!(path.load(credential), format!("{REQUESTS} 200"));
    }
    // What is paid was read at the gateway that is for the product alone.
    assert!(answers_at(f, "aigw").contains("\"GetSecretValue\""));
    // Strongroom opened the value once.
    let audit = [
        "audit",
        "--secret",
        PAYMENTS,
        "--action",
        "GetSecretValue",
        "--limit",
        "0",
        "--output",
        "json",
    ];
    let (success, records, stderr) = f.person(None, &audit, "");
    assert!(success, "{stderr}");
    let opened = records
        .lines()
        .filter(|line| line.contains("aigw-system/ai-gateway"))
        .count();
    assert!((1..=10).contains(&opened), "{records}");

    the_key_stops_both(f, https, &path, &payments);

    // A new version, which everybody has soon.
    f.kubectl(&["annotate", "namespace", "shop", "aigw.example.org/generation=2"]);
    let second = eventually("the second version", || {
        value(https, "shop/checkout", PAYMENTS).filter(|value| *value != payments)
    });
    eventually("its file", || (by_volume(f, "payments") == second).then_some(()));
    let signed = signature(&second, "hello");
    eventually("its signatures", || {
        (path.sign("payments", "hello") == signed).then_some(())
    });
}

fn the_key_stops_both(f: &Fixture, https: &Https<'_>, path: &DataPath<'_>, payments: &[u8]) {
    let enabled = |enabled: bool| {
        let patch = format!("{{\"spec\": {{\"enabled\": {enabled}}}}}");
        let merge = ["patch", "encryptionkey", "payments", "--type=merge", "-p", &patch];
        f.kubectl(&[&["-n", "shop"], &merge[..]].concat());
    };
    enabled(false);
    for account in ["shop/checkout", "partner/settlement"] {
        eventually("readers to be stopped", || {
            (https.ended(account, PAYMENTS) == (409, "KeyDisabled".to_owned())).then_some(())
        });
    }
    eventually("the product to be stopped", || {
        let answer = path.sign("payments", "hello");
        (answer.contains("KeyDisabled") && answer.ends_with(" 503")).then_some(())
    });
    // What lies under another key goes on.
    assert!(path.sign("api-key", "hello").ends_with(" 200"));
    enabled(true);
    eventually("readers to go on", || {
        (value(https, "shop/checkout", PAYMENTS)? == payments).then_some(())
    });
    let signed = signature(payments, "hello");
    eventually("the product to go on", || {
        (path.sign("payments", "hello") == signed).then_some(())
    });
}
