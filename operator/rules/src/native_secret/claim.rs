//! Whether a native Secret may be deleted: only while it is what we wrote, and nobody else claims it.
//!
//! Its metadata tell it, so that no value has to be read: the API server records in `metadata.managedFields`
//! who wrote which key last, and moves a key to whoever changes it. A key that our manager alone owns holds
//! what we wrote.

use std::fmt;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ManagedFieldsEntry, ObjectMeta};

use super::foreign_metadata::REPLACER;
use super::owners::{COPIES, FIELD_MANAGER, first_apply};
use super::{SECRET_ID_ANNOTATION, VERSION_ANNOTATION};
use crate::uid::Uid;

#[cfg(test)]
mod tests;

/// The data of a Secret among the fields of an owner. Who applies `stringData` owns that, though no Secret
/// has it.
const DATA: [&str; 2] = ["f:data", "f:stringData"];

/// A label or an annotation by which a tool recognises what it applies.
struct Tracking {
    tool: &'static str,
    place: Place,
    key: &'static str,
    /// The value that is the tool's; absent: any.
    value: Option<&'static str>,
}

#[derive(Clone, Copy)]
enum Place {
    Label,
    Annotation,
}

impl Place {
    const fn field(self) -> &'static str {
        match self {
            Self::Label => "f:labels",
            Self::Annotation => "f:annotations",
        }
    }
}

const fn tracking(tool: &'static str, place: Place, key: &'static str) -> Tracking {
    Tracking {
        tool,
        place,
        key,
        value: None,
    }
}

/// All of them, as the tools' own pages name them: <https://helm.sh/docs/chart_best_practices/labels/>,
/// <https://argo-cd.readthedocs.io/en/stable/user-guide/resource_tracking/>, <https://fluxcd.io/flux/components/kustomize/kustomizations/>,
/// <https://kubernetes.io/docs/tasks/manage-kubernetes-objects/declarative-config/>, <https://carvel.dev/kapp/docs/latest/diff/>.
const TRACKING: [Tracking; 12] = [
    tracking("Helm", Place::Annotation, "meta.helm.sh/release-name"),
    tracking("Helm", Place::Annotation, "meta.helm.sh/release-namespace"),
    Tracking {
        tool: "Helm",
        place: Place::Label,
        key: "app.kubernetes.io/managed-by",
        value: Some("Helm"),
    },
    tracking("Argo CD", Place::Annotation, "argocd.argoproj.io/tracking-id"),
    tracking("Argo CD", Place::Label, "argocd.argoproj.io/instance"),
    tracking("Argo CD", Place::Label, "app.kubernetes.io/instance"),
    tracking("Flux", Place::Label, "kustomize.toolkit.fluxcd.io/name"),
    tracking("Flux", Place::Label, "kustomize.toolkit.fluxcd.io/namespace"),
    tracking("Flux", Place::Label, "helm.toolkit.fluxcd.io/name"),
    tracking("Flux", Place::Label, "helm.toolkit.fluxcd.io/namespace"),
    tracking("kubectl", Place::Label, "applyset.kubernetes.io/part-of"),
    tracking("kapp", Place::Label, "kapp.k14s.io/app"),
];

/// What the store records of a native Secret, and of the secret that it was written for.
#[derive(Clone, Debug)]
pub struct WrittenSecret {
    /// `metadata.uid` of the native Secret.
    pub uid: Uid,
    /// Id of the stored secret, in hex.
    pub secret: String,
    /// The secret's versions.
    pub versions: Vec<String>,
}

/// Why a native Secret is not ours to delete.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ForeignClaim {
    /// It was deleted, and made again by somebody.
    OtherUid,
    /// It does not say that we wrote it: somebody replaced it.
    Unmarked,
    /// The API server does not say that we wrote its data.
    Unwritten,
    /// Another field manager wrote one of its fields.
    Field {
        /// What `managedFields` calls the manager; empty where it says no name.
        manager: String,
        /// The field, such as `data.password`.
        field: String,
    },
    /// Another object owns it.
    Owner {
        /// Kind of that object.
        kind: String,
        /// Name of that object.
        name: String,
    },
    /// A tool tracks it as applied by it.
    Tracked {
        /// What people call the tool, such as `Flux`.
        tool: &'static str,
        /// The label or annotation.
        key: &'static str,
    },
    /// A tool left a copy of the content that it applied.
    Applied {
        /// Name of the annotation that has the copy.
        key: &'static str,
    },
}

impl fmt::Display for ForeignClaim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherUid => f.write_str("it was deleted and made again"),
            Self::Unmarked => {
                f.write_str("it was replaced: it does not carry the annotations that strongroom writes")
            }
            Self::Unwritten => {
                f.write_str("its `metadata.managedFields` do not say that strongroom wrote its data")
            }
            Self::Field { manager, field } => write!(f, "field manager `{manager}` owns `{field}`"),
            Self::Owner { kind, name } => write!(f, "{kind} `{name}` owns it"),
            Self::Tracked { tool, key } => write!(f, "{tool} tracks it: it carries `{key}`"),
            Self::Applied { key } => write!(f, "somebody applied it: it carries `{key}`"),
        }
    }
}

/// Whether this Secret may be deleted: the metadata as just read, and what is recorded. The delete must carry
/// the UID and the `resourceVersion` that were judged.
///
/// # Errors
/// Who claims it; of several claims the weightiest.
pub fn deletable(found: &ObjectMeta, written: &WrittenSecret) -> Result<(), ForeignClaim> {
    ours(found, written)?;
    if let Some(owner) = found.owner_references.iter().flatten().next() {
        return Err(ForeignClaim::Owner {
            kind: owner.kind.clone(),
            name: owner.name.clone(),
        });
    }
    if let Some(tracking) = TRACKING.iter().find(|tracking| tracking.claims(found)) {
        let Tracking { tool, key, .. } = *tracking;
        return Err(ForeignClaim::Tracked { tool, key });
    }
    if let Some(key) = copies(found).next() {
        return Err(ForeignClaim::Applied { key });
    }
    content(found)
}

/// Whether this is the Secret that was written for the stored secret: the same object, and marked as such.
///
/// # Errors
/// [`ForeignClaim::OtherUid`] or [`ForeignClaim::Unmarked`].
pub fn ours(found: &ObjectMeta, written: &WrittenSecret) -> Result<(), ForeignClaim> {
    if found.uid.as_deref() != Some(written.uid.as_str()) {
        return Err(ForeignClaim::OtherUid);
    }
    let annotation = |key| found.annotations.as_ref().and_then(|all| all.get(key));
    let of_secret = annotation(SECRET_ID_ANNOTATION) == Some(&written.secret);
    let of_version = annotation(VERSION_ANNOTATION).is_some_and(|version| written.versions.contains(version));
    if of_secret && of_version {
        Ok(())
    } else {
        Err(ForeignClaim::Unmarked)
    }
}

/// The annotations that hold a copy of the content, if any.
pub fn copies(found: &ObjectMeta) -> impl Iterator<Item = &'static str> {
    let annotations = found.annotations.as_ref();
    COPIES
        .into_iter()
        .filter(move |key| annotations.is_some_and(|all| all.contains_key(*key)))
}

/// Whether our manager wrote the data and the type, and nobody else a part of them.
fn content(found: &ObjectMeta) -> Result<(), ForeignClaim> {
    let entries = || found.managed_fields.iter().flatten();
    let others = entries().find_map(|entry| {
        let field = fields_of_content(entry).next().filter(|_| !is_ours(entry))?;
        let manager = entry.manager.clone().unwrap_or_default();
        Some(ForeignClaim::Field { manager, field })
    });
    match others {
        Some(claim) => Err(claim),
        None if entries().any(|entry| fields_of_content(entry).next().is_some()) => Ok(()),
        None => Err(ForeignClaim::Unwritten),
    }
}

fn is_ours(entry: &ManagedFieldsEntry) -> bool {
    matches!(entry.manager.as_deref(), Some(FIELD_MANAGER | REPLACER))
}

/// The keys of the data, and the type, that this entry's manager owns.
fn fields_of_content(entry: &ManagedFieldsEntry) -> impl Iterator<Item = String> {
    let fields = entry.fields_v1.as_ref().map(|fields| &fields.0);
    let data = DATA
        .into_iter()
        .filter_map(move |data| fields?.get(data)?.as_object())
        .flatten()
        .filter_map(|(key, _)| Some(format!("data.{}", key.strip_prefix("f:")?)));
    let kind = fields
        .and_then(|fields| fields.get("f:type"))
        .map(|_| "type".to_owned());
    data.chain(kind)
}

impl Tracking {
    /// Whether the Secret carries it, and not by our spec alone.
    fn claims(&self, found: &ObjectMeta) -> bool {
        let carried = match self.place {
            Place::Label => found.labels.as_ref(),
            Place::Annotation => found.annotations.as_ref(),
        };
        let Some(value) = carried.and_then(|carried| carried.get(self.key)) else {
            return false;
        };
        let mut owners = found
            .managed_fields
            .iter()
            .flatten()
            .filter(|entry| owns_metadata(entry, self.place.field(), self.key))
            .peekable();
        let ours_alone = owners.peek().is_some() && owners.all(is_ours);
        self.value.is_none_or(|theirs| theirs == value) && !ours_alone
    }
}

fn owns_metadata(entry: &ManagedFieldsEntry, place: &str, key: &str) -> bool {
    entry
        .fields_v1
        .as_ref()
        .and_then(|fields| fields.0.get("f:metadata")?.get(place)?.get(format!("f:{key}")))
        .is_some()
}

/// The owners of the fields of a Secret that is taken over: its data and its type, which are in the store
/// from now on, are nobody else's any more. `None`: they are nobody else's already.
#[must_use]
pub fn taken_over(entries: &[ManagedFieldsEntry]) -> Option<Vec<ManagedFieldsEntry>> {
    let theirs = |entry: &ManagedFieldsEntry| !is_ours(entry) && fields_of_content(entry).next().is_some();
    if !entries.iter().any(theirs) {
        return None;
    }
    let mut entries = entries.to_vec();
    for entry in entries.iter_mut().filter(|entry| theirs(entry)) {
        if let Some(fields) = entry
            .fields_v1
            .as_mut()
            .and_then(|fields| fields.0.as_object_mut())
        {
            for field in DATA.into_iter().chain(["f:type"]) {
                fields.remove(field);
            }
        }
    }
    entries.retain(|entry| {
        let fields = entry.fields_v1.as_ref().and_then(|fields| fields.0.as_object());
        fields.is_some_and(|fields| !fields.is_empty())
    });
    if entries.is_empty() {
        entries.push(first_apply());
    }
    Some(entries)
}
