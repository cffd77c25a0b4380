//! The native Secret that a ManagedSecret is written to.
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use kube::KubeSchema;
use serde::{Deserialize, Serialize};

use super::text::{DATA_KEY, OBJECT_NAME, annotation_map, label_map, template_map};

/// The native Secret of the same namespace that holds the current version.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct NativeSecret {
    /// Name of the native Secret. It must not exist yet, unless `source.import` adopts it: a Secret that
    /// something else made is never overwritten.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Type of the native Secret, as in `kubernetes.io/tls`. Absent: Opaque. A change of type replaces the
    /// Secret, because a type cannot be changed in place. Types that are credentials for the cluster itself
    /// are refused.
    #[serde(rename = "type", skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 253))]
    #[x_kube(validation = Rule::new(
        "!(self in ['kubernetes.io/service-account-token', 'bootstrap.kubernetes.io/token'])")
        .message("Secrets of this type are credentials for the cluster itself; strongroom does not write them")
        .reason(Reason::FieldValueForbidden))]
    pub type_: Option<String>,
    /// Mark the native Secret immutable: kubelet stops watching it. It keeps its value, because kubelet shows
    /// new pods the old one while any pod of their node uses it: schedules, `strongroom.dev/rotate-now`,
    /// edits of the keys, and certificates without `renewBefore: never` are refused. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub immutable: Option<bool>,
    /// Labels for the native Secret. Labels of strongroom.dev are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "label_map")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('strongroom.dev/'))")
        .message("keys that start with `strongroom.dev/` are set by strongroom alone"))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^([a-z0-9]([-a-z0-9]*[a-z0-9])?([.][a-z0-9]([-a-z0-9]*[a-z0-9])?)*/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$'))")
        .message("the key of a label has at most 63 letters, digits, `-`, `_` or `.` and begins and ends with a letter or digit; before it may stand a DNS name and `/`, as in `example.com/team`"))]
    #[x_kube(validation = Rule::new("self.all(key, self[key].matches('^([a-zA-Z0-9]([-_.a-zA-Z0-9]*[a-zA-Z0-9])?)?$'))")
        .message("the value of a label has letters, digits, `-`, `_` or `.`, and begins and ends with a letter or digit; what does not fit belongs into an annotation"))]
    pub labels: Option<BTreeMap<String, String>>,
    /// Annotations for the native Secret. Annotations of strongroom.dev are refused.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "annotation_map")]
    #[x_kube(validation = Rule::new("self.all(key, !key.startsWith('strongroom.dev/'))")
        .message("keys that start with `strongroom.dev/` are set by strongroom alone"))]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^([a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?([.][a-zA-Z0-9]([-a-zA-Z0-9]*[a-zA-Z0-9])?)*/)?[a-zA-Z0-9]([-_.a-zA-Z0-9]{0,61}[a-zA-Z0-9])?$'))")
        .message("the key of an annotation has at most 63 letters, digits, `-`, `_` or `.` and begins and ends with a letter or digit; before it may stand a DNS name and `/`, as in `example.com/team`"))]
    pub annotations: Option<BTreeMap<String, String>>,
    /// Keys of the value that are copied as they are. Absent: all of them if there is no template, none if
    /// there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64), inner(length(min = 1, max = 253), regex(pattern = DATA_KEY)), extend("x-kubernetes-list-type" = "set"))]
    pub keys: Option<Vec<String>>,
    /// Templates (Jinja) by the key of the native Secret they fill. The keys of the value are variables:
    /// `{{ password }}`, or `{{ keys["tls.crt"] }}` where the name is no identifier or a word of the
    /// language. A name that does not exist is an error, never an empty text; `default` and `is defined` ask
    /// for it.
    ///
    /// Statements: if, for, raw. Filters: b64encode, b64decode, default, first, indent, items, join, last,
    /// length, lower, pem_bundle, quote, replace, tojson, trim, upper, urlencode. Text is joined with
    /// `{{ [a, ":", b] | join }}`. All templates of a Secret make at most 1 MiB.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "template_map")]
    #[x_kube(validation = Rule::new("self.all(key, key.matches('^[-._a-zA-Z0-9]{1,253}$'))")
        .message("a key of a Secret has 1 to 253 letters, digits, `-`, `_` or `.`"))]
    pub template: Option<BTreeMap<String, String>>,
}
