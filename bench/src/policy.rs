//! Rows of the policies: how long it takes to compile them, and to decide one request among many. Without a server: the time of a change
//! from end to end is `policy.change`.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{
    Action, Facts, Identity, PolicyBook, Principal, Request, SecretRef, Source, decide,
};

use crate::Outcome;
use crate::row::Row;

/// The namespace of all of them.
const NAMESPACE: &str = "bench";
/// Repetitions of a row.
const ROUNDS: usize = 9;
/// What the baselines are called.
const TEN: &str = "the same with 10 policies";

/// How the policies name the secrets that they are attached to.
#[derive(Clone, Copy)]
enum Names {
    /// Each its own, as `readers` and most policies do.
    Exact,
    /// With a wildcard, so that each is asked about every secret.
    Wild,
}

/// So many policies, each of another secret and for another ServiceAccount.
fn policies(count: usize, names: Names) -> Outcome<Vec<(Source, SecretPolicySpec)>> {
    (0..count)
        .map(|number| {
            let secret = match names {
                Names::Exact => format!("secret-{number}"),
                Names::Wild => format!("*secret-{number}"),
            };
            let spec = serde_json::from_value(json!({"secrets": [secret], "statements": [{
                "effect": "Allow",
                "principals": [{"serviceAccount": format!("reader-{number}")}],
                "actions": ["secrets:GetSecretValue", "secrets:Describe*"],
            }]}))?;
            Ok((Source::Policy(format!("policy-{number}")), spec))
        })
        .collect()
}

/// Puts them in force. The milliseconds that it took.
fn compiled(policies: &[(Source, SecretPolicySpec)]) -> Outcome<(PolicyBook, f64)> {
    let mut book = PolicyBook::default();
    let start = Instant::now();
    for (source, spec) in policies {
        book.put(NAMESPACE, source, spec)
            .map_err(|error| error.to_string())?;
    }
    Ok((book, start.elapsed().as_secs_f64() * 1000.0))
}

/// Microseconds of one decision, on the mean of `count`: each an allowed read of a secret by chance.
fn decided(book: &PolicyBook, policies: usize, count: u32) -> Outcome<f64> {
    let asked: Vec<(Principal, String)> = (0..count)
        .map(|_| {
            let number = fastrand::usize(..policies);
            let principal = Principal {
                identity: Identity::of(&format!("system:serviceaccount:{NAMESPACE}:reader-{number}")),
                groups: Vec::new(),
            };
            (principal, format!("secret-{number}"))
        })
        .collect();
    let facts = Facts {
        stages: ["Current".to_owned()].into(),
        ..Facts::default()
    };
    let start = Instant::now();
    for (principal, name) in &asked {
        let request = Request {
            principal,
            action: Action::GetSecretValue,
            secret: SecretRef {
                namespace: NAMESPACE,
                name,
            },
            key: None,
            owner: None,
            facts: &facts,
        };
        let decision = decide(black_box(book), &request)?;
        if !decision.allowed {
            return Err(format!("a read of {name} is not allowed").into());
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// Repetitions of compiling and deciding.
struct Times {
    /// Milliseconds.
    compile: Vec<f64>,
    /// Microseconds.
    decide: Vec<f64>,
}

fn times(count: usize, names: Names, decisions: u32) -> Outcome<Times> {
    let policies = policies(count, names)?;
    let (mut compile, mut decide) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (book, milliseconds) = compiled(&policies)?;
        compile.push(milliseconds);
        decide.push(decided(&book, count, decisions)?);
    }
    Ok(Times { compile, decide })
}

/// All rows: they share the policies.
pub(crate) fn measure() -> Outcome<Vec<Row>> {
    // The first of all pays for pages and caches that the others find.
    times(10, Names::Exact, 1_000)?;
    let ten = times(10, Names::Exact, 5_000)?;
    let thousand = times(1_000, Names::Exact, 5_000)?;
    let many = times(10_000, Names::Exact, 5_000)?;
    let wild_ten = times(10, Names::Wild, 5_000)?;
    let wild = times(10_000, Names::Wild, 20)?;
    Ok(vec![
        Row::of("policy.compile.10_ms", "ms", &ten.compile),
        Row::of("policy.compile.1k_ms", "ms", &thousand.compile).against(TEN, &ten.compile),
        Row::of("policy.compile.10k_ms", "ms", &many.compile).against(TEN, &ten.compile),
        Row::of("policy.decide.10_us", "µs", &ten.decide),
        Row::of("policy.decide.1k_us", "µs", &thousand.decide).against(TEN, &ten.decide),
        Row::of("policy.decide.10k_us", "µs", &many.decide).against(TEN, &ten.decide),
        Row::of("policy.decide.wild_10k_us", "µs", &wild.decide).against(TEN, &wild_ten.decide),
    ])
}
