//! The columns that `kubectl get` prints hold one thing each: of a list it would print JSON.

use serde_json::Value;

/// The schema of a field of an object, or of a key of a map.
fn field<'a>(schema: &'a Value, name: &str) -> Option<&'a Value> {
    let named = schema["properties"].get(name);
    named.or_else(|| schema.get("additionalProperties"))
}

#[test]
fn every_column_leads_to_one_text_or_number() {
    let mut seen = 0;
    for definition in strongroom_crds::all() {
        let definition = serde_json::to_value(&definition).expect("serializable");
        for version in definition["spec"]["versions"].as_array().expect("versions") {
            let schema = &version["schema"]["openAPIV3Schema"];
            for column in version["additionalPrinterColumns"].as_array().expect("columns") {
                let path = column["jsonPath"].as_str().expect("a path");
                // What stands in every object is not in the schema, and a condition is one of a list.
                if path.starts_with(".metadata.") || path.starts_with(".status.conditions[?(@.type==") {
                    continue;
                }
                let mut parts = path.trim_start_matches('.').split('.');
                let found = parts.try_fold(schema, field);
                let type_ = &found.expect("a field")["type"];
                assert_eq!(*type_, column["type"], "{path}");
                assert!(*type_ == "string" || *type_ == "integer", "{path}: {type_}");
                seen += 1;
            }
        }
    }
    assert!(seen > 10, "{seen}");
}
