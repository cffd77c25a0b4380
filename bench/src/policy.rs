//! Rows of the policies: how long it takes to compile them, and to decide one request among many. Without a
//! server: the time of a change from end to end is `policy.change`.

use std::hint::black_box;
use std::time::Instant;

use serde_json::json;
use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{
    Action, Identity, PolicySet, PolicySource, Principal, ProductContext, Request, RequestFacts, SecretRef,
    decide,
};

use crate::Outcome;
use crate::row::Row;

const NAMESPACE: &str = "bench";
/// Repetitions of a row.
const ROUNDS: usize = 9;
/// What the baselines are called.
const TEN: &str = "the same with 10 policies";

/// How the policies name the secrets that they are attached to.
#[derive(Clone, Copy)]
enum SecretPatterns {
    /// Each its own, as `readers` and most policies do.
    Exact,
    /// With a wildcard, so that each is asked about every secret.
    Wild,
}

/// So many policies, each of another secret and for another ServiceAccount.
fn policies(count: usize, names: SecretPatterns) -> Outcome<Vec<(PolicySource, SecretPolicySpec)>> {
    (0..count)
        .map(|number| {
            let secret = match names {
                SecretPatterns::Exact => format!("secret-{number}"),
                SecretPatterns::Wild => format!("*secret-{number}"),
            };
            let spec = serde_json::from_value(json!({"secrets": [secret], "statements": [{
                "effect": "Allow",
                "principals": [{"serviceAccount": format!("reader-{number}")}],
                "actions": ["secrets:GetSecretValue", "secrets:Describe*"],
            }]}))?;
            Ok((PolicySource::Policy(format!("policy-{number}")), spec))
        })
        .collect()
}

/// Puts them in force. The milliseconds that it took.
fn compiled(policies: &[(PolicySource, SecretPolicySpec)]) -> Outcome<(PolicySet, f64)> {
    let mut book = PolicySet::default();
    let start = Instant::now();
    for (source, spec) in policies {
        book.put(NAMESPACE, source, spec)
            .map_err(|error| error.to_string())?;
    }
    Ok((book, start.elapsed().as_secs_f64() * 1000.0))
}

/// Microseconds of one decision, on the mean of `count`: each an allowed read of a secret by chance.
fn decided(book: &PolicySet, policies: usize, count: u32) -> Outcome<f64> {
    let asked: Vec<(Principal, String)> = (0..count)
        .map(|_| {
            let number = fastrand::usize(..policies);
            let principal = Principal {
                identity: Identity::from_username(&format!(
                    "system:serviceaccount:{NAMESPACE}:reader-{number}"
                )),
                groups: Vec::new(),
            };
            (principal, format!("secret-{number}"))
        })
        .collect();
    let facts = RequestFacts {
        stages: ["Current".to_owned()].into(),
        ..RequestFacts::default()
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
            products: ProductContext::default(),
        };
        let decision = decide(black_box(book), &request)?;
        if !decision.allowed {
            return Err(format!("a read of {name} is not allowed").into());
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// Repetitions of compiling and deciding.
struct PolicyTimings {
    /// Milliseconds of each compilation.
    compile: Vec<f64>,
    /// Microseconds of each decision.
    decide: Vec<f64>,
}

fn times(count: usize, names: SecretPatterns, decisions: u32) -> Outcome<PolicyTimings> {
    let policies = policies(count, names)?;
    let (mut compile, mut decide) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let (book, milliseconds) = compiled(&policies)?;
        compile.push(milliseconds);
        decide.push(decided(&book, count, decisions)?);
    }
    Ok(PolicyTimings { compile, decide })
}

/// The largest namespace that the bounds admit: 1,000 policies, 10,000 statements without wildcards and 1,000
/// with, all attached to the secret that is asked about or matched against its name in vain, to the last
/// character. Nothing allows it, so that all are looked at.
fn worst() -> Outcome<PolicySet> {
    let mut book = PolicySet::default();
    let name = worst_name();
    let statement = |principal: serde_json::Value, stage: &str| json!({"effect": "Allow", "principals": [principal], "actions": ["secrets:*"], "conditions": {"stages": [stage]}});
    // What is before the last piece is found late, and again in what is left, and the piece never.
    let vain = format!("*{}b*{}c*", "a".repeat(90), "a".repeat(90));
    for number in 0..1_000_usize {
        let spec = if number < 200 {
            // 5 statements each with a wildcard.
            let statements: Vec<_> = (0..5)
                .map(|_| {
                    statement(
                        json!({"serviceAccount": format!("{NAMESPACE}/{}*b", "r".repeat(30))}),
                        "Current",
                    )
                })
                .collect();
            let vain = (0..3).map(|place| format!("{vain}{number}{place}*"));
            let secrets: Vec<String> = vain.chain([name.clone()]).collect();
            json!({"secrets": secrets, "statements": statements})
        } else {
            // 12 or 13 statements each that fit in everything but their stage.
            let count = 12 + usize::from(number % 2 == 0);
            let statements: Vec<_> = (0..count)
                .map(|place| {
                    statement(
                        json!({"serviceAccount": "reader-0"}),
                        &format!("stage-{number}-{place}"),
                    )
                })
                .collect();
            json!({"secrets": [name], "statements": statements})
        };
        let spec = serde_json::from_value(spec)?;
        book.put(
            NAMESPACE,
            &PolicySource::Policy(format!("policy-{number}")),
            &spec,
        )
        .map_err(|error| error.to_string())?;
    }
    Ok(book)
}

/// A name of 192 characters, the longest that there is.
fn worst_name() -> String {
    format!("{}b{}", "a".repeat(95), "a".repeat(96))
}

/// Microseconds of a decision in that namespace, on the mean.
fn worst_decided(book: &PolicySet, count: u32) -> Outcome<f64> {
    let principal = Principal {
        identity: Identity::from_username(&format!("system:serviceaccount:{NAMESPACE}:reader-0")),
        groups: vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{NAMESPACE}"),
        ],
    };
    let facts = RequestFacts {
        stages: ["Current".to_owned()].into(),
        ..RequestFacts::default()
    };
    let name = worst_name();
    let start = Instant::now();
    for _ in 0..count {
        let request = Request {
            principal: &principal,
            action: Action::GetSecretValue,
            secret: SecretRef {
                namespace: NAMESPACE,
                name: &name,
            },
            key: None,
            owner: None,
            facts: &facts,
            products: ProductContext::default(),
        };
        if decide(black_box(book), &request)?.allowed {
            return Err("a read is allowed that nothing allows".into());
        }
    }
    Ok(start.elapsed().as_secs_f64() * 1e6 / f64::from(count))
}

/// All rows: they share the policies.
pub(crate) fn measure() -> Outcome<Vec<Row>> {
    // The first of all pays for pages and caches that the others find.
    times(10, SecretPatterns::Exact, 1_000)?;
    let ten = times(10, SecretPatterns::Exact, 5_000)?;
    let thousand = times(1_000, SecretPatterns::Exact, 5_000)?;
    let many = times(10_000, SecretPatterns::Exact, 5_000)?;
    let wild_ten = times(10, SecretPatterns::Wild, 5_000)?;
    let wild = times(10_000, SecretPatterns::Wild, 20)?;
    let book = worst()?;
    let worst = (0..ROUNDS)
        .map(|_| worst_decided(&book, 100))
        .collect::<Outcome<Vec<f64>>>()?;
    Ok(vec![
        Row::from_samples("policy.compile.10_ms", "ms", &ten.compile),
        Row::from_samples("policy.compile.1k_ms", "ms", &thousand.compile).against(TEN, &ten.compile),
        Row::from_samples("policy.compile.10k_ms", "ms", &many.compile).against(TEN, &ten.compile),
        Row::from_samples("policy.decide.10_us", "µs", &ten.decide),
        Row::from_samples("policy.decide.1k_us", "µs", &thousand.decide).against(TEN, &ten.decide),
        Row::from_samples("policy.decide.10k_us", "µs", &many.decide).against(TEN, &ten.decide),
        Row::from_samples("policy.decide.wild_10k_us", "µs", &wild.decide).against(TEN, &wild_ten.decide),
        Row::from_samples("policy.decide.worst_us", "µs", &worst),
    ])
}
