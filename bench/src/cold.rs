//! Rows of what the server meets for the first time: a connection, a token, a policy; and of policies that
//! change.

use std::time::Instant;

use http::StatusCode;
use kube::Api;
use kube::api::{DeleteParams, PostParams};
use serde_json::{Value, json};
use strongroom_crds::v1alpha1::SecretPolicy;

use crate::Outcome;
use crate::cluster::Bench;
use crate::https::{RequestKind, Sender, Server, TIME, accounts, tokens};
use crate::row::{Row, quantile, sorted};

/// Connections and tokens that are new.
const COLD: usize = 200;
/// Policies that come and go, each two changes.
const POLICIES: usize = 100;
/// The ServiceAccount that only these policies let read.
const STRANGER: &str = "stranger";

fn milliseconds(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1000.0
}

/// A new connection and its first read.
pub(crate) async fn connection(server: &Server) -> Outcome<Row> {
    let mut cold = Vec::new();
    for _ in 0..COLD {
        let start = Instant::now();
        let mut sender = server.connect().await?;
        server.ask(&mut sender, RequestKind::Secret).await?;
        cold.push(milliseconds(start));
    }
    Ok(Row::from_samples("read.cold_connection_ms", "ms", &cold))
}

/// The first read with a token that was never seen, so that the API server has to be asked whose it is; on a
/// connection that is open.
pub(crate) async fn token(server: &Server, bench: &Bench) -> Outcome<Row> {
    let mut sender = server.connect().await?;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    // Each call makes another token, also of the same account.
    for (number, token) in tokens(bench, "reader", COLD, "strongroom.dev")
        .await?
        .iter()
        .enumerate()
    {
        let secret = number % server.secrets;
        for times in [&mut first, &mut again] {
            times.push(allowed(server, &mut sender, token, secret).await?);
        }
    }
    Ok(Row::from_samples("read.cold_token_ms", "ms", &first)
        .against("the next read with the same token", &again))
}

/// The first read that a policy decides, once its status says that it is in force; token and connection are
/// known.
pub(crate) async fn policy(server: &Server, bench: &Bench) -> Outcome<Row> {
    accounts(bench, STRANGER, 1).await?;
    let token = tokens(bench, STRANGER, 1, "strongroom.dev").await?.remove(0);
    let api = secret_policies(bench);
    let mut sender = server.connect().await?;
    let (mut first, mut again) = (Vec::new(), Vec::new());
    for secret in 0..POLICIES.min(server.secrets) {
        let name = format!("allow-{secret}");
        let made = policy_of(
            &name,
            secret,
            &json!({"effect": "Allow",
            "principals": [{"serviceAccount": format!("{STRANGER}-0")}], "actions": ["secrets:GetSecretValue"]}),
        )?;
        // Asked in vain, so that the token is known and nothing but the policy is new.
        if server.read_by(&mut sender, &token, secret).await?.0 == StatusCode::OK {
            return Err("a read is allowed that no policy allows".into());
        }
        api.create(&PostParams::default(), &made).await?;
        let start = Instant::now();
        while in_force(&api.get(&name).await?) != Some(1) {
            if start.elapsed() > TIME {
                return Err("a policy did not come in force in time".into());
            }
        }
        for times in [&mut first, &mut again] {
            times.push(allowed(server, &mut sender, &token, secret).await?);
        }
        api.delete(&name, &DeleteParams::default()).await?;
    }
    Ok(Row::from_samples("read.cold_policy_ms", "ms", &first)
        .against("the next read by the same policy", &again))
}

/// Milliseconds of a read that has to be allowed.
async fn allowed(server: &Server, sender: &mut Sender, token: &str, secret: usize) -> Outcome<f64> {
    let start = Instant::now();
    let (status, body) = server.read_by(sender, token, secret).await?;
    let time = milliseconds(start);
    if status != StatusCode::OK {
        return Err(format!("{status}: {}", String::from_utf8_lossy(&body)).into());
    }
    Ok(time)
}

fn in_force(policy: &SecretPolicy) -> Option<i64> {
    policy.status.as_ref()?.generation_in_force
}

fn secret_policies(bench: &Bench) -> Api<SecretPolicy> {
    Api::namespaced(bench.client.clone(), "bench")
}

/// A policy of one secret, by number, and one statement.
fn policy_of(name: &str, secret: usize, statement: &Value) -> Outcome<SecretPolicy> {
    Ok(serde_json::from_value(json!({
        "apiVersion": "strongroom.dev/v1alpha1", "kind": "SecretPolicy", "metadata": {"name": name},
        "spec": {"secrets": [format!("secret-{secret}")], "statements": [statement]},
    }))?)
}

/// From the moment at which a SecretPolicy is sent to the API server, or its deletion, until a request is
/// decided by it.
pub(crate) async fn policy_changes(server: &Server, bench: &Bench) -> Outcome<Vec<Row>> {
    let api = secret_policies(bench);
    let mut sender = server.connect().await?;
    let mut changes = Vec::new();
    for number in 0..POLICIES {
        let name = format!("deny-{number}");
        let secret = number % server.secrets;
        let policy = policy_of(
            &name,
            secret,
            &json!({"effect": "Deny",
            "principals": [{"serviceAccount": "reader-*"}], "actions": ["secrets:*"]}),
        )?;
        for denied in [true, false] {
            let start = Instant::now();
            if denied {
                api.create(&PostParams::default(), &policy).await?;
            } else {
                api.delete(&name, &DeleteParams::default()).await?;
            }
            while (server.read(&mut sender, 0, secret).await?.0 == StatusCode::OK) == denied {
                if start.elapsed() > TIME {
                    return Err("a change of a policy did not count in time".into());
                }
            }
            changes.push(milliseconds(start));
        }
    }
    let changes = sorted(&changes);
    let rows = [("policy.change.p50_ms", 0.5), ("policy.change.p99_ms", 0.99)];
    Ok(rows
        .map(|(name, part)| Row {
            value: quantile(&changes, part),
            ..Row::from_samples(name, "ms", &changes)
        })
        .into())
}
