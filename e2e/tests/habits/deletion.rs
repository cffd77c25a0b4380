//! What was deleted, and when it goes.

use std::time::{Duration, Instant};

use crate::runner::{Case, cases};
use crate::support::eventually;
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![
    a_deletion_has_its_own_half_minute_on_a_cluster,
    a_mass_deletion_waits_for_its_own_confirmation_and_nobody_else_waits,
    the_name_of_a_preview_namespace_works_at_once,
];

fn spec(native: &str) -> String {
    format!(
        "{{source: {{generate: {{keys: {{password: {{password: {{}}}}}}}}}}, secret: {{name: {native}}}}}"
    )
}

fn wait_gone(t: &Tenant<'_>, secret: &str) {
    eventually(&format!("Secret {secret} to go"), || {
        t.secret(secret).is_none().then_some(())
    });
}

fn a_deletion_has_its_own_half_minute_on_a_cluster(t: &Tenant<'_>) {
    for name in ["early", "late"] {
        t.manage(name, &spec(name));
        t.wait_ready(name, "True", "Ready");
    }
    let before = t.secret("late").unwrap();
    t.kubectl(&["delete", "managedsecret", "early"]);
    let begin = Instant::now();
    eventually("twenty seconds to go by", || {
        (begin.elapsed() >= Duration::from_secs(20)).then_some(())
    });
    t.kubectl(&["delete", "managedsecret", "late"]);
    wait_gone(t, "early");
    t.manage("late", &spec("late"));
    t.wait_ready("late", "True", "Ready");
    let after = t.secret("late").unwrap();
    assert_eq!(
        (&after["metadata"]["uid"], &after["data"]),
        (&before["metadata"]["uid"], &before["data"])
    );
}

fn a_mass_deletion_waits_for_its_own_confirmation_and_nobody_else_waits(t: &Tenant<'_>) {
    let elsewhere = Tenant::new(t.f, "the neighbour of a mass deletion");
    for name in ["a", "b", "c", "d", "e"] {
        t.manage(name, &spec(name));
    }
    elsewhere.manage("single", &spec("single"));
    for name in ["a", "b", "c", "d", "e"] {
        t.wait_ready(name, "True", "Ready");
    }
    elsewhere.wait_ready("single", "True", "Ready");
    t.kubectl(&["delete", "managedsecret", "a", "b", "c", "d"]);
    elsewhere.kubectl(&["delete", "managedsecret", "single"]);

    let waits = || {
        let map =
            t.f.json(&["-n", "strongroom", "get", "configmap", "strongroom-deletions"]);
        let lines = map["data"]["batches"].as_str()?.to_owned();
        let place = format!("namespace={}", t.name);
        let line = lines
            .lines()
            .find(|line| line.split(' ').any(|word| word == place))?;
        let word = |name: &str| {
            let mut words = line.split(' ');
            words.find_map(|word| word.strip_prefix(name).map(str::to_owned))
        };
        Some((
            line.split(' ').next()?.to_owned(),
            word("waiting=")?,
            word("of=")?,
        ))
    };
    let (batch, ..) = eventually("the mass deletion to wait", || {
        t.f.piped(
            &["-n", "strongroom", "get", "configmap", "strongroom-deletions"],
            "",
        )
        .0
        .then(waits)
        .flatten()
        .filter(|(_, waiting, of)| (waiting.as_str(), of.as_str()) == ("4", "5"))
    });
    eventually("the owner to be told", || {
        let events = t.kubectl(&["get", "events", "--field-selector", "reason=DeletionsWaiting"]);
        events.contains(&batch).then_some(())
    });
    wait_gone(&elsewhere, "single");

    // One more does not change the id, and does not go unasked.
    t.kubectl(&["delete", "managedsecret", "e"]);
    let (again, ..) = eventually("the last one to wait as well", || {
        waits().filter(|(_, waiting, _)| waiting == "5")
    });
    assert_eq!(again, batch);
    for name in ["a", "b", "c", "d", "e"] {
        assert!(t.secret(name).is_some(), "{name}");
    }
    let confirm = format!("strongroom.dev/confirm={batch}");
    let annotate = [
        "annotate",
        "configmap",
        "strongroom-deletions",
        "--overwrite",
        &confirm,
    ];
    t.f.kubectl(&[&["-n", "strongroom"], &annotate[..]].concat());
    for name in ["a", "b", "c", "d", "e"] {
        wait_gone(t, name);
    }
}

fn the_name_of_a_preview_namespace_works_at_once(t: &Tenant<'_>) {
    let (name, pipeline) = (format!("{}-preview", t.name), format!("{}-pipeline", t.name));
    t.f.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {pipeline}}}\nrules:\n\
         - {{apiGroups: [''], resources: [namespaces], verbs: [create, get, delete]}}\n---\n\
         apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRoleBinding\nmetadata: {{name: {pipeline}}}\n\
         roleRef: {{apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {pipeline}}}\n\
         subjects: [{{kind: User, name: {pipeline}, apiGroup: rbac.authorization.k8s.io}}]\n"
    ));
    let namespace = format!(
        "{{apiVersion: v1, kind: Namespace, metadata: {{name: {name}, labels: {{strongroom.dev/recovery: none}}}}}}"
    );
    let user = format!("--as={pipeline}");
    let create = [user.as_str(), "create", "-f", "-"];
    let said = eventually("the rights to count", || {
        let (success, _, stderr) = t.f.piped(&create, &namespace);
        assert!(!success, "the label needs more");
        stderr.contains("strongroom.dev/recovery").then_some(stderr)
    });
    assert!(
        said.contains("verb grant on managedsecrets.strongroom.dev in the whole cluster"),
        "{said}"
    );
    t.f.apply(&format!(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {{name: {pipeline}}}\nrules:\n\
         - {{apiGroups: [''], resources: [namespaces], verbs: [create, get, delete]}}\n\
         - {{apiGroups: [strongroom.dev], resources: [managedsecrets], verbs: [grant]}}\n"
    ));
    let mut ids = Vec::new();
    for _ in 0..2 {
        eventually("the namespace to be made", || {
            t.f.piped(&create, &namespace).0.then_some(())
        });
        let preview = Tenant {
            f: t.f,
            name: name.clone(),
        };
        preview.manage("db", &spec("db"));
        let object = preview.wait_ready("db", "True", "Ready");
        ids.push(object["status"]["secretId"].as_str().unwrap().to_owned());
        t.f.kubectl(&[&user, "delete", "namespace", &name, "--wait=false"]);
    }
    assert_ne!(ids.first(), ids.last());
    eventually("the record of the destruction", || {
        let (_, out, _) = t.f.person_in(
            "strongroom",
            None,
            &["audit", "--namespace", &name, "-o", "json"],
            "",
        );
        out.contains("strongroom.dev/recovery=none").then_some(())
    });
}
