use serde_json::{Value as Json, json};

use super::*;

/// A native Secret as we left it.
fn ours() -> Json {
    json!({
        "name": "db", "uid": "u",
        "labels": {"app.kubernetes.io/managed-by": "strongroom", "app.kubernetes.io/instance": "checkout"},
        "annotations": {"strongroom.dev/secret-id": "5e", "strongroom.dev/version": "v-2"},
        "managedFields": [entry("strongroom", json!({
            "f:data": {"f:password": {}},
            "f:type": {},
            "f:metadata": {"f:labels": {"f:app.kubernetes.io/managed-by": {}, "f:app.kubernetes.io/instance": {}}},
        }))],
    })
}

fn entry(manager: &str, fields: Json) -> Json {
    json!({"manager": manager, "operation": "Update", "fieldsType": "FieldsV1", "fieldsV1": fields})
}

fn judged(found: Json) -> Result<(), ForeignClaim> {
    let written = WrittenSecret {
        uid: Uid::new("u"),
        secret: "5e".to_owned(),
        versions: vec!["v-1".to_owned(), "v-2".to_owned()],
    };
    deletable(&serde_json::from_value(found).expect("metadata"), &written)
}

/// What we left, changed.
fn after(change: impl FnOnce(&mut Json)) -> Result<(), ForeignClaim> {
    let mut found = ours();
    change(&mut found);
    judged(found)
}

fn owned(manager: &str, fields: Json) -> Result<(), ForeignClaim> {
    after(|found| {
        let entries = found["managedFields"].as_array_mut().expect("entries");
        entries.push(entry(manager, fields));
    })
}

#[test]
fn what_we_wrote_and_nobody_touched_goes() {
    assert_eq!(judged(ours()), Ok(()));
    let edited_metadata = json!({"f:metadata": {"f:labels": {"f:backup": {}}}, "f:data": {".": {}}});
    assert_eq!(owned("kubectl-label", edited_metadata), Ok(()));
    let older = after(|found| found["annotations"]["strongroom.dev/version"] = json!("v-1"));
    assert_eq!(older, Ok(()), "a version that was current before is ours as well");
}

#[test]
fn what_was_replaced_stays() {
    assert_eq!(
        after(|found| found["uid"] = json!("u2")),
        Err(ForeignClaim::OtherUid)
    );
    for unmark in [
        json!({}),
        json!({"strongroom.dev/secret-id": "5e"}),
        json!({"strongroom.dev/secret-id": "5f", "strongroom.dev/version": "v-2"}),
        json!({"strongroom.dev/secret-id": "5e", "strongroom.dev/version": "v-9"}),
    ] {
        let outcome = after(|found| found["annotations"] = unmark.clone());
        assert_eq!(outcome, Err(ForeignClaim::Unmarked), "{unmark}");
    }
}

#[test]
fn a_key_or_the_type_that_another_manager_owns_keeps_it() {
    for (fields, field) in [
        (json!({"f:data": {"f:password": {}}}), "data.password"),
        (json!({"f:data": {".": {}, "f:more": {}}}), "data.more"),
        (json!({"f:type": {}}), "type"),
        (json!({"f:stringData": {"f:password": {}}}), "data.password"),
    ] {
        let claim = ForeignClaim::Field {
            manager: "helm".to_owned(),
            field: field.to_owned(),
        };
        assert_eq!(owned("helm", fields), Err(claim));
    }
    let nobody_knows = after(|found| {
        found["labels"] = json!({});
        found["managedFields"] = json!([]);
    });
    assert_eq!(nobody_knows, Err(ForeignClaim::Unwritten));
}

#[test]
fn an_owner_reference_keeps_it() {
    let claim = after(|found| {
        found["ownerReferences"] = json!([{"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "x"}]);
    });
    assert_eq!(claim.expect_err("a claim").to_string(), "Pod `p` owns it");
}

#[test]
fn each_tracking_mark_keeps_it_unless_it_is_of_our_own_spec() {
    for tracking in &TRACKING {
        let place = match tracking.place {
            Place::Label => "labels",
            Place::Annotation => "annotations",
        };
        let value = tracking.value.unwrap_or("anything");
        let fields = json!({"f:metadata": {tracking.place.field(): {format!("f:{}", tracking.key): {}}}});
        let carried = |manager: Option<&str>| {
            after(|found| {
                found[place][tracking.key] = json!(value);
                let entries = found["managedFields"].as_array_mut().expect("entries");
                entries.extend(manager.map(|manager| entry(manager, fields.clone())));
            })
        };
        let claim = Err(ForeignClaim::Tracked {
            tool: tracking.tool,
            key: tracking.key,
        });
        assert_eq!(carried(Some("the tool")), claim);
        assert_eq!(carried(Some(FIELD_MANAGER)), Ok(()), "{}", tracking.key);
        if !ours()["labels"]
            .as_object()
            .expect("labels")
            .contains_key(tracking.key)
        {
            assert_eq!(carried(None), claim, "nobody says whose it is");
        }
    }
}

#[test]
fn each_copy_that_a_tool_left_keeps_it() {
    for key in COPIES {
        let claim = after(|found| found["annotations"][key] = json!("{}"));
        assert_eq!(claim, Err(ForeignClaim::Applied { key }));
    }
}

#[test]
fn what_is_taken_over_is_nobody_elses_and_other_fields_stay_theirs() {
    let entries = |list: Json| -> Vec<ManagedFieldsEntry> { serde_json::from_value(list).expect("entries") };
    let found = entries(json!([
        entry("helm", json!({"f:stringData": {"f:password": {}}})),
        entry(
            "kubectl-create",
            json!({"f:data": {".": {}, "f:password": {}}, "f:type": {}})
        ),
        entry(
            "kubectl-label",
            json!({"f:data": {"f:user": {}}, "f:metadata": {"f:labels": {"f:team": {}}}})
        ),
        entry(FIELD_MANAGER, json!({"f:data": {"f:password": {}}})),
    ]));
    let left = taken_over(&found).expect("a change");
    let expected = json!([
        entry(
            "kubectl-label",
            json!({"f:metadata": {"f:labels": {"f:team": {}}}})
        ),
        entry(FIELD_MANAGER, json!({"f:data": {"f:password": {}}})),
    ]);
    assert_eq!(serde_json::to_value(&left).expect("json"), expected);
    assert_eq!(taken_over(&left), None);
    assert_eq!(taken_over(&[]), None);
    let theirs_alone = entries(json!([entry("kubectl-create", json!({"f:type": {}}))]));
    assert_eq!(taken_over(&theirs_alone), Some(vec![first_apply()]));
}
