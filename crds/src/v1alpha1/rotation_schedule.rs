//! Kind RotationSchedule: which secrets rotate, when, and how.
#![expect(clippy::duplicated_attributes, reason = "print columns repeat their type")]
#![expect(
    unreachable_pub,
    reason = "KubeSchema repeats each struct inside a function, where `pub` reaches nobody"
)]

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector, Time};
use kube::core::{Selector, SelectorExt};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::text::{DATA_KEY, OBJECT_NAME};
use crate::period::Period;

/// Which secrets of this namespace rotate, when, and how.
#[derive(CustomResource, Clone, Debug, PartialEq, Serialize, Deserialize, KubeSchema)]
#[kube(
    group = "strongroom.dev",
    version = "v1alpha1",
    kind = "RotationSchedule",
    doc = "A RotationSchedule gives ManagedSecrets of its namespace a new version again and again, at stated times.",
    plural = "rotationschedules",
    shortname = "rots",
    category = "strongroom",
    namespaced,
    status = "RotationScheduleStatus",
    derive = "PartialEq",
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(
        name = "Reason",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].reason"
    ),
    printcolumn(name = "Every", type_ = "string", json_path = ".spec.schedule.every"),
    printcolumn(name = "Cron", type_ = "string", json_path = ".spec.schedule.cron"),
    printcolumn(name = "Secrets", type_ = "integer", json_path = ".status.selected"),
    printcolumn(name = "Next Rotation", type_ = "string", json_path = ".status.nextRotation"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new(
    "!has(self.jitter) || !has(self.schedule.every) || [self.jitter, self.schedule.every].map(time, \
     int(time.substring(0, size(time) - 1)) * \
     {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[time.substring(size(time) - 1)]).isSorted()")
    .message("jitter is longer than schedule.every, so that no two rotations would be the interval apart: shorten it")
    .field_path(".jitter"))]
// The forms whose times can be told from the text; of all others the controller says it.
#[x_kube(validation = Rule::new(
    "!has(self.jitter) || !has(self.schedule.cron) || \
     int(self.jitter.substring(0, size(self.jitter) - 1)) * \
     {'s': 1, 'm': 60, 'h': 3600, 'd': 86400, 'w': 604800}[self.jitter.substring(size(self.jitter) - 1)] <= \
     (self.schedule.cron.matches('^[*] ') ? 60 : \
      self.schedule.cron.matches('^[*]/[1-9] ') ? 60 * int(self.schedule.cron.substring(2, 3)) : \
      self.schedule.cron.matches('^[*]/[1-9][0-9] ') ? 60 * int(self.schedule.cron.substring(2, 4)) : \
      self.schedule.cron.matches('^[0-9]+ [*] ') ? 3600 : \
      self.schedule.cron.matches('^[0-9]+ [0-9]+ [*] [*] [*]$') ? 86400 : \
      self.schedule.cron.matches('^[0-9]+ [0-9]+ [*] [*] ([0-7]|[A-Za-z]{3})$') ? 604800 : \
      self.schedule.cron.matches('^[0-9]+ [0-9]+ [0-9]+ [*] [*]$') ? 2678400 : 3155760000)")
    .message("jitter is longer than the time from one time of schedule.cron to the next: shorten it")
    .field_path(".jitter"))]
pub struct RotationScheduleSpec {
    /// The ManagedSecrets that rotate. Naming beats selecting: a secret that one schedule names and others
    /// select follows the one that names it. Two schedules with an equal claim: neither rotates the secret,
    /// and both say so.
    pub secrets: ScheduledSecrets,
    /// When they rotate.
    pub schedule: Schedule,
    /// Rotate only inside this window; a rotation that is due outside waits until it opens, also after a
    /// pause of the controller. Absent: at any time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub window: Option<Window>,
    /// Spread the rotations, as in `30m`: each secret waits a part of this time after it is due, always the
    /// same part for the same secret and schedule. Not longer than `schedule.every`, or than the time between
    /// two times of `schedule.cron`. Absent: no spread.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub jitter: Option<Period>,
    /// How the new version is made. Set exactly one.
    pub rotator: Rotator,
    /// Rotate nothing, not even on `strongroom.dev/rotate-now`, of the schedule or of one of its secrets:
    /// what is asked for waits. Absent: false.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub suspend: Option<bool>,
}

/// The ManagedSecrets of this namespace that a schedule rotates. Set exactly one.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.names) != has(self.selector)")
    .message("set exactly one of names, selector"))]
pub struct ScheduledSecrets {
    /// Names of ManagedSecrets.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 256),
        inner(length(min = 1, max = 253), regex(pattern = OBJECT_NAME)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub names: Option<Vec<String>>,
    /// Labels of ManagedSecrets. An empty selector selects every ManagedSecret of the namespace.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
}

impl ScheduledSecrets {
    /// Whether a ManagedSecret of this name is named.
    #[must_use]
    pub fn names(&self, name: &str) -> bool {
        self.names.iter().flatten().any(|named| named == name)
    }

    /// Whether one with these labels is selected. A selector that cannot be read selects nothing.
    #[must_use]
    pub fn selects(&self, labels: &BTreeMap<String, String>) -> bool {
        let selector = self.selector.clone().map(Selector::try_from);
        selector.is_some_and(|selector| selector.is_ok_and(|selector| selector.matches(labels)))
    }
}

/// When a secret rotates: after a time, or at times of the calendar. Set exactly one of every and cron.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.every) != has(self.cron)").message("set exactly one of every, cron"))]
#[x_kube(validation = Rule::new("!has(self.timeZone) || has(self.cron)")
    .message("timeZone belongs to cron; `every` counts from the last rotation").field_path(".timeZone"))]
pub struct Schedule {
    /// The time from one rotation to the next, as in `12h` or `30d`; at least 1m, at most 3650d. It counts
    /// from the last rotation, or from the creation of the secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(
        "self.matches('^([1-9][0-9]{0,4}m|[1-9][0-9]{0,3}h|([1-9][0-9]{0,2}|[12][0-9]{3}|3[0-5][0-9]{2}|36[0-4][0-9]|3650)d|\
         ([1-9][0-9]?|[1-4][0-9]{2}|5[01][0-9]|52[01])w)$')")
        .message("every must be 1m to 3650d, in whole minutes, hours, days or weeks"))]
    pub every: Option<Period>,
    /// Times of the calendar: minute, hour, day of month, month, day of week, as in `0 3 * * MON`. A day of
    /// month and a day of week together mean either. A fixed time that the clock skips when summer time
    /// begins is moved to the moment after the gap; one that comes twice when it ends happens once, at the
    /// first. A repeating one (`*/15`) follows the elapsed time.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 9, max = 128))]
    pub cron: Option<String>,
    /// The time zone of cron, as in `Europe/Berlin` (IANA name). Absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][-+_/A-Za-z0-9]*$"))]
    pub time_zone: Option<String>,
}

/// A maintenance window that comes back every day, or on some days of the week.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.start != self.end")
    .message("start and end are equal: remove the window to rotate at any time"))]
pub struct Window {
    /// Days of the week on which the window opens. Absent: every day.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 7), extend("x-kubernetes-list-type" = "set"))]
    pub days: Option<Vec<Weekday>>,
    /// When the window opens, as in `02:00`.
    #[schemars(length(min = 5, max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub start: String,
    /// When it closes, as in `05:00`. Earlier than start: on the next day.
    #[schemars(length(min = 5, max = 5), regex(pattern = "^([01][0-9]|2[0-3]):[0-5][0-9]$"))]
    pub end: String,
    /// The time zone of start and end, as in `Europe/Berlin` (IANA name). Absent: UTC.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 64), regex(pattern = "^[A-Za-z][-+_/A-Za-z0-9]*$"))]
    pub time_zone: Option<String>,
}

/// A day of the week.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[expect(
    missing_docs,
    reason = "a documented variant turns the schema's plain enum into oneOf"
)]
pub enum Weekday {
    Mon,
    Tue,
    Wed,
    Thu,
    Fri,
    Sat,
    Sun,
}

/// How a new version is made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum Rotator {
    /// Make keys again as the ManagedSecret's `source.generate` says. For secrets whose readers take the new
    /// value by themselves; no other system is told.
    Generate(GenerateRotator),
}

/// Make keys again as the ManagedSecret says.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GenerateRotator {
    /// Names of the keys in `source.generate.keys` that are made again; the others keep their bytes. Absent:
    /// all that are not literals.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(
        length(min = 1, max = 32),
        inner(length(min = 1, max = 128), regex(pattern = DATA_KEY)),
        extend("x-kubernetes-list-type" = "set")
    )]
    pub keys: Option<Vec<String>>,
}

/// What Strongroom last saw and did.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotationScheduleStatus {
    /// The generation of the spec that this status describes; -1 until the controller first looked.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// Ready, and others where they say something. The reason names the cause, the message what to do.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    pub conditions: Vec<Condition>,
    /// Number of ManagedSecrets that this schedule rotates.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub selected: Option<i32>,
    /// The earliest next rotation among them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// When one of them was last rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Time>,
    /// The ManagedSecrets by name; at most 256 are listed, those that are due first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 256))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub secrets: Vec<RotatedSecret>,
}

/// One ManagedSecret as its schedule sees it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RotatedSecret {
    /// Name of the ManagedSecret.
    #[schemars(length(max = 253))]
    pub name: String,
    /// When it was last rotated.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub last_rotation: Option<Time>,
    /// When it is rotated next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_rotation: Option<Time>,
    /// The version that the last rotation made.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub version_id: Option<String>,
    /// Why it does not rotate: a reason as in the conditions. Absent: nothing is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub reason: Option<String>,
    /// The reason in words, with what to do.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub message: Option<String>,
}
