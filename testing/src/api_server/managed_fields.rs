//! Who owns which field, as an API server keeps it in `metadata.managedFields`
//! (<https://kubernetes.io/docs/reference/using-api/server-side-apply/#field-management>). Maps are owned key
//! by key, lists as a whole.

use std::collections::BTreeSet;

use serde_json::{Map, Value as Json, json};

/// One write: who makes it, how, and to which subresource.
#[derive(Clone, Copy, Debug)]
pub struct Write<'a> {
    /// The field manager.
    pub manager: &'a str,
    /// `status`; empty where the object itself is written.
    pub subresource: &'a str,
    /// Seconds after the epoch.
    pub at: u64,
}

type Path = Vec<String>;

/// What the API server itself keeps, which nobody owns.
const NOBODYS: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "deletionTimestamp",
    "managedFields",
    "selfLink",
];

struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    time: Json,
    fields: BTreeSet<Path>,
}

/// The object after `manager` applied `body` over `found` by force: what it applied before and does not any
/// more is gone, unless others own it too.
pub fn applied(found: &Json, mut after: Json, body: &Json, write: Write<'_>) -> Json {
    let mut entries = entries(found);
    // Whoever owned it before its first apply is not known: one name stands for all of them.
    if entries.is_empty() {
        entries.push(Entry {
            manager: "before-first-apply".to_owned(),
            operation: "Update".to_owned(),
            subresource: String::new(),
            time: time(write.at),
            fields: leaves(found),
        });
    }
    let own = |entry: &Entry| {
        (
            entry.manager.as_str(),
            entry.operation.as_str(),
            entry.subresource.as_str(),
        ) == (write.manager, "Apply", write.subresource)
    };
    let before = entries
        .iter()
        .position(own)
        .map(|at| entries.remove(at).fields)
        .unwrap_or_default();
    let fields = leaves(body);
    for path in before.difference(&fields) {
        if !entries.iter().any(|entry| entry.fields.contains(path)) {
            remove(&mut after, path);
        }
    }
    let taken = changed(found, &after);
    for entry in &mut entries {
        entry.fields.retain(|path| !taken.contains(path));
    }
    entries.push(Entry {
        manager: write.manager.to_owned(),
        operation: "Apply".to_owned(),
        subresource: write.subresource.to_owned(),
        time: time(write.at),
        fields,
    });
    with(after, entries)
}

/// The object after `manager` changed it from `found` to `after` in any other way: what it changed is its
/// own, and nobody else's any more.
pub fn updated(found: &Json, after: Json, write: Write<'_>) -> Json {
    // Owners that are written win over those that were there.
    let written = after["metadata"]["managedFields"]
        .as_array()
        .is_some_and(|list| !list.is_empty());
    let mut entries = entries(if written { &after } else { found });
    let taken = changed(found, &after);
    for entry in &mut entries {
        entry.fields.retain(|path| !taken.contains(path));
    }
    if !taken.is_empty() {
        let same = entries.iter_mut().find(|entry| {
            entry.manager == write.manager
                && entry.operation == "Update"
                && entry.subresource == write.subresource
        });
        match same {
            Some(entry) => {
                entry.fields.extend(taken);
                entry.time = time(write.at);
            }
            None => entries.push(Entry {
                manager: write.manager.to_owned(),
                operation: "Update".to_owned(),
                subresource: write.subresource.to_owned(),
                time: time(write.at),
                fields: taken,
            }),
        }
    }
    with(after, entries)
}

/// Who else owns what an apply of `body` would change: an apply without force is refused then.
pub fn conflict(found: &Json, body: &Json, write: Write<'_>) -> Option<String> {
    let differs: Vec<Path> = leaves(body)
        .into_iter()
        .filter(|path| at(body, path) != at(found, path))
        .collect();
    let holds = |entry: &Entry| differs.iter().any(|path| entry.fields.contains(path));
    let other =
        |entry: &&Entry| (entry.manager.as_str(), entry.operation.as_str()) != (write.manager, "Apply");
    entries(found)
        .iter()
        .filter(other)
        .find(|entry| holds(entry))
        .map(|entry| entry.manager.clone())
}

/// Whether a write from one to the other changes nothing: when it was made counts for nothing.
pub(super) fn same(one: &Json, other: &Json) -> bool {
    let timeless = |object: &Json| {
        let mut object = object.clone();
        let entries = object["metadata"]["managedFields"].as_array_mut();
        for entry in entries.into_iter().flatten() {
            entry["time"] = Json::Null;
        }
        object
    };
    timeless(one) == timeless(other)
}

fn time(at: u64) -> Json {
    json!(
        jiff::Timestamp::from_second(at.cast_signed())
            .unwrap()
            .to_string()
    )
}

/// The object with these owners, of what is there.
fn with(mut object: Json, mut entries: Vec<Entry>) -> Json {
    let there = leaves(&object);
    for entry in &mut entries {
        entry.fields.retain(|path| there.contains(path));
    }
    let list: Vec<Json> = entries
        .into_iter()
        .filter(|entry| !entry.fields.is_empty())
        .map(|entry| {
            let mut made = json!({
                "manager": entry.manager, "operation": entry.operation, "apiVersion": "v1", "fieldsType": "FieldsV1",
                "fieldsV1": fields_v1(&entry.fields), "time": entry.time,
            });
            if !entry.subresource.is_empty() {
                made["subresource"] = json!(entry.subresource);
            }
            made
        })
        .collect();
    object["metadata"]["managedFields"] = json!(list);
    object
}

fn entries(object: &Json) -> Vec<Entry> {
    let text = |of: &Json| of.as_str().unwrap_or_default().to_owned();
    object["metadata"]["managedFields"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|entry| {
            let mut fields = BTreeSet::new();
            collect(&entry["fieldsV1"], &mut Vec::new(), &mut fields);
            Entry {
                manager: text(&entry["manager"]),
                operation: text(&entry["operation"]),
                subresource: text(&entry["subresource"]),
                time: entry["time"].clone(),
                fields,
            }
        })
        .collect()
}

fn collect(fields: &Json, at: &mut Path, into: &mut BTreeSet<Path>) {
    for (key, below) in fields.as_object().into_iter().flatten() {
        // `.` is the map itself.
        let Some(name) = key.strip_prefix("f:") else {
            continue;
        };
        at.push(name.to_owned());
        if below.as_object().is_none_or(Map::is_empty) {
            into.insert(at.clone());
        } else {
            collect(below, at, into);
        }
        at.pop();
    }
}

fn fields_v1(fields: &BTreeSet<Path>) -> Json {
    let mut tree = json!({});
    for path in fields {
        let mut at = &mut tree;
        for name in path {
            at = &mut at[format!("f:{name}")];
            if at.is_null() {
                *at = json!({});
            }
        }
    }
    tree
}

/// The paths of all values that somebody can own.
fn leaves(object: &Json) -> BTreeSet<Path> {
    fn walk(value: &Json, at: &mut Path, into: &mut BTreeSet<Path>) {
        match value {
            Json::Object(map) => {
                for (key, below) in map {
                    at.push(key.clone());
                    walk(below, at, into);
                    at.pop();
                }
            }
            Json::Null => {}
            _ => {
                into.insert(at.clone());
            }
        }
    }
    let mut all = BTreeSet::new();
    walk(object, &mut Vec::new(), &mut all);
    all.retain(|path| match path.first().map(String::as_str) {
        Some("apiVersion" | "kind") => false,
        Some("metadata") => path.get(1).is_none_or(|field| !NOBODYS.contains(&field.as_str())),
        _ => true,
    });
    all
}

fn at<'a>(object: &'a Json, path: &Path) -> &'a Json {
    path.iter().fold(object, |at, name| &at[name.as_str()])
}

/// The paths whose value is new or another one.
fn changed(before: &Json, after: &Json) -> BTreeSet<Path> {
    leaves(after)
        .into_iter()
        .filter(|path| at(before, path) != at(after, path))
        .collect()
}

fn remove(object: &mut Json, path: &Path) {
    let Some((last, above)) = path.split_last() else {
        return;
    };
    let mut map = object;
    for name in above {
        map = &mut map[name.as_str()];
    }
    if let Some(map) = map.as_object_mut() {
        map.remove(last);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn by(manager: &str) -> Write<'_> {
        Write {
            manager,
            subresource: "",
            at: 1,
        }
    }

    #[test]
    fn what_is_applied_no_more_goes_unless_others_own_it() {
        let body = json!({"metadata": {"labels": {"a": "1", "b": "2"}}});
        let object = applied(&json!({}), body.clone(), &body, by("us"));
        let after = json!({"metadata": {"labels": {"a": "1", "b": "3"}, "managedFields": object["metadata"]["managedFields"]}});
        let object = updated(&object, after, by("them"));
        let body = json!({"metadata": {"labels": {"c": "3"}}});
        let mut overlaid = object.clone();
        overlaid["metadata"]["labels"]["c"] = json!("3");
        let object = applied(&object, overlaid, &body, by("us"));
        assert_eq!(object["metadata"]["labels"], json!({"b": "3", "c": "3"}));
        let owners = object["metadata"]["managedFields"].as_array().unwrap();
        assert_eq!(owners.len(), 2, "{owners:?}");
        assert_eq!(
            owners[0]["fieldsV1"],
            json!({"f:metadata": {"f:labels": {"f:b": {}}}})
        );
    }
}
