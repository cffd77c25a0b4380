//! A policy that stops compiling never weakens what was in force, also over a restart of the process: the
//! last good one still allows what it allowed and denies what it denied.

use http::{Method, StatusCode};

use crate::load::{Server, ask, external, runtime, scene, value};
use crate::support::answers::code;
use crate::support::{Fixture, condition, eventually};

/// The policy `closed`: nobody reads the secret of that name; or what does not compile.
fn closed(f: &Fixture, effect: &str, action: &str) {
    f.apply(&format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {{name: closed, namespace: shop}}\nspec:\n  secrets: [closed]\n  \
         statements:\n  - {{effect: {effect}, principals: [{{serviceAccount: \"*\"}}], actions: [\"{action}\"]}}\n"
    ));
}

/// The policy `all`, by which `app` may do this with every secret.
fn all(f: &Fixture, action: &str) {
    f.apply(&format!(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {{name: all, namespace: shop}}\nspec:\n  secrets: [\"*\"]\n  \
         statements:\n  - {{effect: Allow, principals: [{{serviceAccount: app}}], actions: [\"{action}\"]}}\n"
    ));
}

/// Waits until the policy's status is about what stands there now; its message.
fn said(f: &Fixture, name: &str, reason: &str, in_force: i64) -> String {
    eventually(&format!("{name} to be {reason}"), || {
        let object = f.json(&["-n", "shop", "get", "secretpolicy", name]);
        let ready = condition(&object, "Ready")?;
        let current = object["status"]["observedGeneration"] == object["metadata"]["generation"];
        let as_expected = ready["reason"] == reason && object["status"]["generationInForce"] == in_force;
        (current && as_expected).then(|| ready["message"].as_str().unwrap().to_owned())
    })
}

fn still_decided(runtime: &tokio::runtime::Runtime, server: &Server) {
    let open = ask(runtime, server, Method::GET, "s0/value", None);
    assert_eq!(open.status, StatusCode::OK, "{open:?}");
    let closed = ask(runtime, server, Method::GET, "closed/value", None);
    assert_eq!(
        (closed.status, code(&closed.body).as_str()),
        (StatusCode::FORBIDDEN, "PolicyDenied"),
        "{closed:?}"
    );
}

#[test]
fn a_policy_that_stops_compiling_is_in_force_as_it_was_over_a_restart() {
    let f = Fixture::new();
    let (mut strongroom, server) = scene(&f);
    let runtime = runtime();
    f.apply(&external("closed"));
    f.wait_ready("closed", "False", "AwaitingValue");
    for name in ["s0", "closed"] {
        let path = format!("{name}/versions/v-1");
        let answer = ask(&runtime, &server, Method::PUT, &path, Some(&value("v")));
        assert_eq!(answer.status, StatusCode::CREATED, "{answer:?}");
    }
    closed(&f, "Deny", "secrets:GetSecretValue");
    said(&f, "closed", "Ready", 1);
    said(&f, "all", "Ready", 1);
    still_decided(&runtime, &server);

    closed(&f, "Allow", "secrets:Nothing");
    all(&f, "secrets:Nothing");
    for name in ["closed", "all"] {
        let message = said(&f, name, "PolicyInvalid", 1);
        assert!(
            message.contains("statement 1, actions[0], column 9: `secrets:Nothing` is not an action")
                && message.ends_with("generation 1 stays in force"),
            "{message}"
        );
    }
    still_decided(&runtime, &server);

    for kill in [true, false] {
        if kill {
            strongroom.kill();
        } else {
            assert!(strongroom.stop().unwrap().success());
        }
        strongroom = f.start_api(server.port);
        eventually("the policies to be loaded", || {
            let answer = ask(&runtime, &server, Method::GET, "s0/value", None);
            (code(&answer.body) != "PoliciesUnavailable").then_some(())
        });
        still_decided(&runtime, &server);
        assert!(said(&f, "closed", "PolicyInvalid", 1).ends_with("generation 1 stays in force"));
    }

    // Broken otherwise, mended, and gone.
    closed(&f, "Allow", "secrets:Nobody");
    said(&f, "closed", "PolicyInvalid", 1);
    still_decided(&runtime, &server);
    all(&f, "secrets:*");
    said(&f, "all", "Ready", 3);
    still_decided(&runtime, &server);
    f.kubectl(&["-n", "shop", "delete", "secretpolicy", "closed"]);
    eventually("the denial to be gone", || {
        let answer = ask(&runtime, &server, Method::GET, "closed/value", None);
        (answer.status == StatusCode::OK).then_some(())
    });
    drop(strongroom);
}
