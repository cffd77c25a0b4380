//! A secret's life from the command line, sealed values, and the end of what was deleted.

use data_encoding::BASE64;
use strongroom_api::installation_status::InstallationStatus;
use strongroom_api::v1::{DeletedSecretsPage, OwnPolicy, SecretsPage, ValueAnswer, VersionsAnswer};
use strongroom_crds::v1alpha1::PolicyPrincipal;

use crate::status::one_screen;
use crate::support::{Fixture, answers, eventually};
use crate::{KubectlUsers, MARKER};

/// A secret's life, from the command line.
pub(super) fn lives(f: &Fixture, people: &KubectlUsers<'_>) {
    let native = || {
        f.native("db-main").unwrap()["password"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let password = || people.jane(&["get", "db-main", "--key=password"]).well();
    let first = password();
    assert_eq!(BASE64.encode(first.as_bytes()), native());
    let read: ValueAnswer = people.typed("jane", &["get", "db-main"]);
    assert_eq!(BASE64.encode(read.data["password"].expose()), native());
    people.jane(&["rotate", "db-main", "--wait=60s"]).well();
    assert_ne!(password(), first);
    assert_eq!(BASE64.encode(password().as_bytes()), native());
    let VersionsAnswer { versions } = people.typed("jane", &["versions", "db-main"]);
    assert_eq!(versions.len(), 2);
    let before = versions[1].version_id.as_str();
    let old = people
        .jane(&["get", "db-main", "--key=password", "--stage=Previous"])
        .well();
    assert_eq!(old, first);
    // Back, and there it stays.
    people
        .jane(&["stage", "db-main", "Current", "--to", before])
        .well();
    assert_eq!(password(), first);

    let create = ["create", "team/partner", "--key=token", "--label=team=shop"];
    people.with("jane", &create, MARKER).well();
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        MARKER
    );
    let second = format!("{MARKER}-2\n");
    let put = [
        "put",
        "team/partner",
        "--key=token",
        "--trim",
        "--version-id=v-2",
        "--wait=60s",
    ];
    people.with("jane", &put, &second).well();
    people.with("jane", &put, &second).well();
    people.with("jane", &put, "another").refused("VersionConflict");
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        second.trim()
    );
    let listed: SecretsPage = people.typed("jane", &["list", "--label=team=shop"]);
    assert_eq!(listed.secrets[0].stages["Current"], "v-2");
    // A value is nothing for the command line, nor for somebody who sees it there.
    people
        .with("jane", &["put", "team/partner"], "")
        .refused("standard input");
    people.jane(&["delete", "team/partner"]).well();
    people.jane(&["get", "team/partner"]).refused("InRecoveryWindow");
    people.jane(&["restore", "team/partner"]).well();
    assert_eq!(
        people.jane(&["get", "team/partner", "--key=token"]).well(),
        second.trim()
    );
    people.jane(&["purge", "team/partner"]).refused("--yes");
    // `secrets:*` does not allow what destroys.
    let refused = people.jane(&["purge", "team/partner", "--yes"]);
    refused.refused("secrets:PurgeSecret");
    f.apply(
        "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: jane-purges, namespace: shop}\nspec:\n  \
         secrets: [team/partner]\n  statements:\n  - {effect: Allow, principals: [{user: jane}], actions: [\"secrets:PurgeSecret\"]}\n",
    );
    eventually("jane to be allowed to purge", || {
        people
            .jane(&["purge", "team/partner", "--yes"])
            .success
            .then_some(())
    });
    people
        .jane(&["describe", "team/partner"])
        .refused("SecretNotFound");

    people
        .with(
            "jane",
            &["policy", "set", "db-main", "--file=-"],
            "- {effect: Allow, principals: [{group: ops}], actions: [\"secrets:DescribeSecret\"]}",
        )
        .well();
    let policy: OwnPolicy = people.typed("jane", &["policy", "get", "db-main"]);
    let principals = policy.statements[0].principals.as_deref();
    assert_eq!(principals, Some(&[PolicyPrincipal::Group("ops".to_owned())][..]));
    one_screen(people);
}

/// A value that lies in a file, sealed: only here, and only in its place, is it one.
pub(super) fn seals(f: &Fixture, people: &KubectlUsers<'_>) {
    let value = format!("{MARKER}-in-git");
    let seal = ["seal", "smtp", "--key=password", "--native=smtp"];
    let manifest = people.with("jane", &seal, &value).well();
    assert!(!manifest.contains(MARKER), "{manifest}");
    f.apply(&manifest);
    f.wait_ready("smtp", "True", "Ready");
    assert_eq!(
        f.native("smtp").unwrap()["password"],
        BASE64.encode(value.as_bytes())
    );
    // Without a cluster, by its public key.
    let file = f.keep.path().join("cluster.json");
    std::fs::write(&file, people.jane(&["seal", "--fetch-key"]).well()).unwrap();
    let key = format!("--cluster-key={}", file.display());
    let second = people
        .with("jane", &[&seal[..], &[&key]].concat(), "another")
        .well();
    f.apply(&second);
    eventually("the value that was sealed without a cluster", || {
        (f.native("smtp")?["password"] == BASE64.encode(b"another")).then_some(())
    });
    // The same text elsewhere is no value, and what was there stays.
    f.apply(&second.replace("smtp", "stolen"));
    f.wait_ready("stolen", "False", "SealInvalid");
    assert!(f.native("stolen").is_none());
    f.kubectl(&["-n", "shop", "delete", "managedsecret", "stolen"]);
    // The file is of the newest key; one that is of none is refused.
    let path = f.keep.path().join("smtp.yaml");
    std::fs::write(&path, &second).unwrap();
    let rewrap = format!("--rewrap={}", path.display());
    let said = people.jane(&["seal", &rewrap]).well();
    assert!(said.contains("0 of 1"), "{said}");
    let id = second
        .split("strongroom1.")
        .nth(1)
        .unwrap()
        .split('.')
        .next()
        .unwrap();
    std::fs::write(&path, second.replace(id, "0123456789abcdef")).unwrap();
    people.jane(&["seal", &rewrap]).refused("does not have");
}

/// What is in recovery windows in a namespace is for administrators to see and to destroy, whatever policies
/// say.
pub(super) fn purges(f: &Fixture, people: &KubectlUsers<'_>) {
    for name in ["spare-1", "spare-2"] {
        people
            .with("jane", &["create", name, "--key=token"], MARKER)
            .well();
        people.jane(&["delete", name]).well();
    }
    people.jane(&["purge", "--list"]).refused("strongroom-purger");
    people.jane(&["purge", "--yes"]).refused("strongroom-purger");
    let listed: DeletedSecretsPage = people.typed("admin", &["purge", "--list"]);
    let names: Vec<&str> = listed.secrets.iter().map(|secret| secret.name.as_str()).collect();
    assert_eq!(names, ["spare-1", "spare-2"]);
    assert_eq!(listed.limit.secrets, Some(10_000));
    people.with("admin", &["purge"], "").refused("pass `--yes`");
    // Bound to somebody in the namespace it is enough for that one, and no policy is asked.
    f.apply(
        "apiVersion: rbac.authorization.k8s.io/v1\nkind: RoleBinding\nmetadata: {name: purger, namespace: shop}\n\
         roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: strongroom-purger}\n\
         subjects: [{kind: User, name: paul, apiGroup: rbac.authorization.k8s.io}]\n",
    );
    let said = eventually("paul to be let in", || {
        let said = people.with("paul", &["purge", "--yes"], "");
        said.success.then_some(said.stdout)
    });
    assert!(said.starts_with("2 secrets of shop were destroyed, "), "{said}");
    let status: InstallationStatus = people.typed("admin", &["status"]);
    let room = status.room.as_ref().unwrap();
    assert_eq!(room.used.secrets, listed.used.secrets - 2, "{status:?}");
    people
        .with("paul", &["describe", "db-main"], "")
        .refused("cannot get resource");
    let purged = people.json("admin", &["audit", "--action=PurgeSecret", "--secret=spare-1"]);
    let records = answers::records(&purged);
    assert_eq!(records.len(), 1, "{records:?}");
    assert_eq!(records[0].principal, "user paul", "{records:?}");
}
