use serde_json::{Value, json};

use super::*;

fn image() -> Image {
    Image {
        name: "strongroom.dev/strongroom-exec:1".to_owned(),
        pull_policy: "IfNotPresent".to_owned(),
        resources: Image::default_resources(),
    }
}

/// A pod with these annotations and one container `app`.
fn pod(annotations: &[(&str, &str)]) -> Value {
    let annotations: Value = annotations
        .iter()
        .map(|(key, value)| ((*key).to_owned(), json!(value)))
        .collect::<serde_json::Map<_, _>>()
        .into();
    json!({
        "metadata": {"name": "app", "annotations": annotations},
        "spec": {
            "containers": [{"name": "app", "image": "i", "command": ["serve"], "args": ["--port=1"], "env": [{"name": "URL", "value": "$(PASSWORD)"}]}],
            "unknownToUs": {"kept": [1]},
        },
    })
}

const EXEC: (&str, &str) = ("strongroom.dev/env", "exec");
const FILE: (&str, &str) = ("strongroom.dev/env", "file");
const VARS: (&str, &str) = ("strongroom.dev/env-vars", "PASSWORD: checkout-db/password");

fn changed(pod: &Value) -> Value {
    with_variables(pod, &image()).unwrap().unwrap()
}

fn refused(pod: &Value) -> EnvironmentError {
    with_variables(pod, &image()).unwrap_err()
}

fn secrets(pod: &Value) -> Value {
    let volumes = pod["spec"]["volumes"].as_array().unwrap();
    let volume = volumes.iter().find(|volume| volume["name"] == VOLUME).unwrap();
    serde_json::from_str(volume["csi"]["volumeAttributes"]["secrets"].as_str().unwrap()).unwrap()
}

#[test]
fn a_pod_that_asks_for_nothing_is_let_alone() {
    for pod in [
        json!({"spec": {}}),
        json!({"metadata": {"annotations": null}, "spec": {}}),
        pod(&[("strongroom.dev/other", "exec"), ("prometheus.io/scrape", "true")]),
    ] {
        assert_eq!(with_variables(&pod, &image()), Ok(None));
    }
}

#[test]
fn exec_becomes_the_command_and_brings_its_program() {
    let before = pod(&[EXEC, VARS]);
    let after = changed(&before);
    let app = &after["spec"]["containers"][0];
    assert_eq!(
        app["command"],
        json!([
            "/strongroom/exec/strongroom-exec",
            "run",
            "--env=/strongroom/env",
            "--",
            "serve"
        ])
    );
    assert_eq!(app["args"], json!(["--port=1"]));
    assert_eq!(app["env"], before["spec"]["containers"][0]["env"]);
    assert_eq!(
        app["volumeMounts"],
        json!([
            {"name": "strongroom-env", "mountPath": "/strongroom/env", "readOnly": true},
            {"name": "strongroom-exec", "mountPath": "/strongroom/exec", "readOnly": true},
        ])
    );
    let csi = &after["spec"]["volumes"][0]["csi"];
    assert_eq!(
        (&csi["driver"], &csi["readOnly"]),
        (&json!("csi.strongroom.dev"), &json!(true))
    );
    assert_eq!(csi["volumeAttributes"]["reads"], json!("AtStart"));
    assert_eq!(
        secrets(&after),
        json!([{"name": "checkout-db", "keys": [{"key": "password", "path": "PASSWORD"}]}])
    );
    assert_eq!(
        after["spec"]["volumes"][1],
        json!({"name": "strongroom-exec", "emptyDir": {"sizeLimit": "32Mi"}})
    );
    let init = &after["spec"]["initContainers"][0];
    assert_eq!(init["args"], json!(["install", "/strongroom/exec"]));
    assert_eq!(init["securityContext"]["runAsNonRoot"], json!(true));
    assert_eq!(init["resources"]["requests"], init["resources"]["limits"]);
    assert_eq!(after["spec"]["unknownToUs"], before["spec"]["unknownToUs"]);
}

#[test]
fn file_has_kubelet_give_the_variables_before_the_containers_own() {
    let mut before = pod(&[FILE, VARS]);
    before["spec"]["containers"][0]
        .as_object_mut()
        .unwrap()
        .remove("command");
    before["spec"]["initContainers"] = json!([{"name": "migrate", "image": "i"}]);
    let after = changed(&before);
    let app = &after["spec"]["containers"][0];
    let reference = json!({"volumeName": "strongroom-env-file", "path": "env", "key": "PASSWORD"});
    assert_eq!(
        app["env"],
        json!([{"name": "PASSWORD", "valueFrom": {"fileKeyRef": reference}}, {"name": "URL", "value": "$(PASSWORD)"}])
    );
    assert_eq!(app.get("command"), None);
    assert_eq!(app.get("volumeMounts"), None, "the app's files have no value");
    let init = after["spec"]["initContainers"].as_array().unwrap();
    assert_eq!(
        (&init[0]["name"], &init[1]["name"]),
        (&json!("strongroom-env"), &json!("migrate"))
    );
    assert_eq!(
        init[0]["args"],
        json!(["write", "--env=/strongroom/env", "/strongroom/env-file/env"])
    );
    assert_eq!(
        after["spec"]["volumes"][1],
        json!({"name": "strongroom-env-file", "emptyDir": {"medium": "Memory", "sizeLimit": "8Mi"}})
    );
}

#[test]
fn a_pod_that_comes_again_is_let_alone_and_what_others_add_stays() {
    for mode in [EXEC, FILE] {
        let once = changed(&pod(&[mode, VARS]));
        assert_eq!(with_variables(&once, &image()), Ok(None), "{mode:?}");
        let mut more = once.clone();
        // What defaults and other webhooks do to it.
        more["spec"]["initContainers"][0]["terminationMessagePath"] = json!("/dev/termination-log");
        more["spec"]["initContainers"][0]["volumeMounts"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "token", "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount"}));
        more["spec"]["initContainers"]
            .as_array_mut()
            .unwrap()
            .insert(0, json!({"name": "mesh-init"}));
        if mode == EXEC {
            let wrapped = [json!("/mesh/wait")].into_iter();
            let command = more["spec"]["containers"][0]["command"]
                .as_array()
                .unwrap()
                .clone();
            more["spec"]["containers"][0]["command"] = wrapped.chain(command).collect();
        }
        assert_eq!(with_variables(&more, &image()), Ok(None), "{mode:?}");
    }
}

#[test]
fn variables_of_one_secret_and_version_share_an_entry() {
    let it = changed(&pod(&[
        EXEC,
        (
            "strongroom.dev/env-vars",
            "USER: {secret: db, key: username}\nPASS: db/password\nOLD: {secret: db, stage: Previous, key: password}\n\
             Z_URL: {secret: db, template: 'pg://{{ username }}@x'}\nMAIL: {secret: team/smtp, namespace: mail, versionId: v-1, key: password}\n\
             DEEP: a/b/c\n",
        ),
    ]));
    assert_eq!(
        secrets(&it),
        json!([
            {"name": "a/b", "keys": [{"key": "c", "path": "DEEP"}]},
            {"name": "team/smtp", "namespace": "mail", "versionId": "v-1", "keys": [{"key": "password", "path": "MAIL"}]},
            {"name": "db", "stage": "Previous", "keys": [{"key": "password", "path": "OLD"}]},
            {"name": "db", "keys": [{"key": "password", "path": "PASS"}, {"key": "username", "path": "USER"}],
             "files": [{"path": "Z_URL", "template": "pg://{{ username }}@x"}]},
        ])
    );
}

#[test]
fn a_name_is_a_name_whatever_yaml_makes_of_it() {
    let it = changed(&pod(&[
        EXEC,
        (
            "strongroom.dev/env-vars",
            "A: 81111e1/007\nB: {secret: null, key: true}\nC: {secret: 1.10, stage: 2, key: null}\n",
        ),
    ]));
    assert_eq!(
        secrets(&it),
        json!([
            {"name": "81111e1", "keys": [{"key": "007", "path": "A"}]},
            {"name": "null", "keys": [{"key": "true", "path": "B"}]},
            {"name": "1.10", "stage": "2", "keys": [{"key": "null", "path": "C"}]},
        ])
    );
}

#[test]
fn containers_are_those_that_are_named_or_the_only_one_or_kubectls() {
    let with = |more: &[(&str, &str)]| {
        let mut it = pod(&[&[EXEC, VARS], more].concat());
        it["spec"]["containers"]
            .as_array_mut()
            .unwrap()
            .push(json!({"name": "proxy", "command": ["p"]}));
        it["spec"]["initContainers"] = json!([{"name": "migrate", "command": ["m"]}]);
        it
    };
    let started = |pod: &Value| -> Vec<String> {
        ["containers", "initContainers"]
            .iter()
            .flat_map(|list| pod["spec"][list].as_array().unwrap().clone())
            .filter(|container| container["command"][1] == "run")
            .map(|container| container["name"].as_str().unwrap().to_owned())
            .collect()
    };
    assert_eq!(refused(&with(&[])), EnvironmentError::WhichContainer(2));
    let named = with(&[("strongroom.dev/env-containers", "migrate, app")]);
    assert_eq!(started(&changed(&named)), ["app", "migrate"]);
    let default = with(&[("kubectl.kubernetes.io/default-container", "app")]);
    assert_eq!(started(&changed(&default)), ["app"]);
    let nobody = with(&[("strongroom.dev/env-containers", "nobody")]);
    assert_eq!(
        refused(&nobody),
        EnvironmentError::NoContainer("nobody".to_owned())
    );
    let none = with(&[("strongroom.dev/env-containers", " , ")]);
    assert_eq!(refused(&none), EnvironmentError::WhichContainer(2));
}

#[test]
fn what_is_not_understood_is_refused_with_what_to_do() {
    let vars = |text| pod(&[EXEC, ("strongroom.dev/env-vars", text)]);
    for (pod, says) in [
        (
            pod(&[VARS]),
            "`strongroom.dev/env-vars` is set without `strongroom.dev/env`",
        ),
        (
            pod(&[("strongroom.dev/env", "yes"), VARS]),
            "`strongroom.dev/env: yes`: use `exec` or `file`",
        ),
        (
            pod(&[EXEC, ("strongroom.dev/env-var", "A: b/c")]),
            "`strongroom.dev/env-var` is not an annotation",
        ),
        (pod(&[EXEC]), "without variables"),
        (vars(""), "without variables"),
        (vars("{}"), "without variables"),
        (vars("A"), "`strongroom.dev/env-vars`: "),
        (vars("A: [1]"), "`secret/key`, or a map with `secret` and `key`"),
        (vars("A: {secret: s, key: k, kee: k}"), "unknown field"),
        (vars("A: key"), "`A`: name the secret: `secret/key`"),
        (vars("A: s/"), "`A`: give exactly one of `key` and `template`"),
        (vars("A: {secret: s}"), "give exactly one of `key` and `template`"),
        (
            vars("A: {secret: s, key: k, template: t}"),
            "give exactly one of `key` and `template`",
        ),
        (
            vars("A: {secret: s, key: k, stage: a, versionId: b}"),
            "give only one of `stage` and `versionId`",
        ),
        (vars("a-b: s/k"), "`a-b`: not a valid variable name"),
        (vars("1A: s/k"), "not a valid variable name"),
    ] {
        let said = refused(&pod).to_string();
        assert!(said.contains(says), "{said}");
    }
    let many: String = (0..257).map(|n| format!("A{n}: s/k\n")).collect();
    assert!(matches!(
        refused(&vars(&many)),
        EnvironmentError::TooMany(256, 64)
    ));
    let many: String = (0..65).map(|n| format!("A{n}: s{n}/k\n")).collect();
    assert!(matches!(
        refused(&vars(&many)),
        EnvironmentError::TooMany(256, 64)
    ));
}

#[test]
fn a_pod_that_cannot_have_its_variables_does_not_start() {
    let with = |change: &dyn Fn(&mut Value)| {
        let mut it = pod(&[EXEC, VARS]);
        change(&mut it);
        refused(&it)
    };
    let app = || "app".to_owned();
    for command in [json!([]), json!(null)] {
        let refusal = with(&|pod| pod["spec"]["containers"][0]["command"] = command.clone());
        assert_eq!(refusal, EnvironmentError::NoCommand(app()));
    }
    let twice = EnvironmentError::SetTwice {
        container: app(),
        variable: "PASSWORD".to_owned(),
    };
    let itself = json!([{"name": "PASSWORD", "value": "x"}]);
    assert_eq!(
        with(&|pod| pod["spec"]["containers"][0]["env"] = itself.clone()),
        twice
    );
    let mut it = pod(&[FILE, VARS]);
    it["spec"]["containers"][0]["env"] = itself;
    assert_eq!(refused(&it), twice);
    assert_eq!(
        with(&|pod| pod["spec"]["volumes"] = json!([{"name": "strongroom-env", "emptyDir": {}}])),
        EnvironmentError::Taken("volume", "strongroom-env".to_owned())
    );
    assert_eq!(
        with(&|pod| pod["spec"]["initContainers"] = json!([{"name": "strongroom-exec", "image": "other"}])),
        EnvironmentError::Taken("container", "strongroom-exec".to_owned())
    );
    assert_eq!(
        with(&|pod| pod["spec"]["os"] = json!({"name": "windows"})),
        EnvironmentError::Windows
    );
}

#[test]
fn a_pod_of_root_keeps_its_init_container_startable() {
    let mut it = pod(&[EXEC, VARS]);
    it["spec"]["securityContext"] = json!({"runAsUser": 0});
    let security = changed(&it)["spec"]["initContainers"][0]["securityContext"].clone();
    assert_eq!(security.get("runAsNonRoot"), None);
}
