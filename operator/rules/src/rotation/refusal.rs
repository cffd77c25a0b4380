//! Why a rotation is not carried out although somebody asks for it. The same causes count for the annotation,
//! for a schedule, for the API and for those who call it.

use std::fmt;

use strongroom_crds::condition::Reason;
use strongroom_crds::v1alpha1::{ManagedSecretSpec, RotationSchedule, Source};

use crate::generate;

/// Why a secret does not rotate.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RotationRefusal {
    /// Values arrive over the API.
    External,
    /// The value stands sealed in the object.
    Sealed,
    /// The value was imported.
    Imported,
    /// All keys are literals.
    OnlyLiterals,
    /// The native Secret is immutable.
    Immutable {
        /// What asks, in words.
        asker: Option<String>,
    },
    /// The rotator of the schedule names a key that is not made anew.
    UnknownKey {
        /// Name of the RotationSchedule.
        schedule: String,
        /// The key that its rotator names.
        key: String,
        /// The keys that the spec makes anew.
        made: Vec<String>,
    },
    /// The schedule is suspended.
    Suspended {
        /// Name of the RotationSchedule.
        schedule: String,
    },
}

impl RotationRefusal {
    /// Why a secret of this spec does not rotate, whoever asks.
    #[must_use]
    pub fn for_spec(spec: &ManagedSecretSpec) -> Option<Self> {
        let source = match &spec.source {
            Source::External(_) => Some(Self::External),
            Source::Sealed(_) => Some(Self::Sealed),
            Source::Import(_) => Some(Self::Imported),
            Source::Generate(source) => {
                (!source.keys.values().any(generate::rotates)).then_some(Self::OnlyLiterals)
            }
        };
        let immutable = || immutable(spec).then_some(Self::Immutable { asker: None });
        source.or_else(immutable)
    }

    /// Says who asks, where that is one of two things to remove.
    #[must_use]
    pub fn asked_by(self, asker: impl FnOnce() -> String) -> Self {
        match self {
            Self::Immutable { asker: None } => Self::Immutable { asker: Some(asker()) },
            other => other,
        }
    }

    /// Why a rotation that a person asks for is not carried out, by the spec of the secret, by the schedule
    /// that covers it, if one does, and by that one's rotator.
    #[must_use]
    pub fn on_request(
        spec: &ManagedSecretSpec,
        schedule: Option<&RotationSchedule>,
        by_rotator: Option<Self>,
    ) -> Option<Self> {
        let suspended = || {
            let schedule = schedule.filter(|schedule| schedule.spec.suspend == Some(true))?;
            Some(Self::Suspended {
                schedule: schedule.metadata.name.clone().unwrap_or_default(),
            })
        };
        Self::for_spec(spec).or(by_rotator).or_else(suspended)
    }

    /// The reason it gives in a condition.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        match self {
            Self::External | Self::Sealed | Self::Imported | Self::OnlyLiterals => Reason::NothingToRotate,
            Self::Immutable { .. } => Reason::ImmutableNotRotatable,
            Self::UnknownKey { .. } => Reason::ScheduleInvalid,
            Self::Suspended { .. } => Reason::Suspended,
        }
    }
}

/// Whether the native Secret of this spec is immutable: its content stays, because kubelet shows new pods the
/// old one while any pod of their node uses it (<https://github.com/kubernetes/kubernetes/issues/131589>).
#[must_use]
pub fn immutable(spec: &ManagedSecretSpec) -> bool {
    let native = spec.secret.as_ref();
    native.is_some_and(|native| native.immutable == Some(true))
}

impl fmt::Display for RotationRefusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::External => {
                f.write_str("its values are written over the API, so write a new one there")
            }
            Self::Sealed => f.write_str(
                "its value is sealed in the ManagedSecret, so seal a new one there",
            ),
            Self::Imported => f.write_str(
                "the value was imported and no generator says how to make a new one; move to `spec.source.generate` first",
            ),
            Self::OnlyLiterals => f.write_str(
                "every key of `spec.source.generate` is a literal, so there is nothing to regenerate; edit the literal instead",
            ),
            Self::Immutable { asker } => write!(
                f,
                "`spec.secret.immutable` is true, and kubelet shows new pods the old content of an immutable Secret while any pod of \
                 their node uses it; remove `spec.secret.immutable`{}{}",
                if asker.is_some() { ", or " } else { "" },
                asker.as_deref().unwrap_or_default()
            ),
            Self::UnknownKey { schedule, key, made } => {
                write!(
                    f,
                    "the rotator of RotationSchedule `{schedule}` names the key `{key}`, which `spec.source.generate` of the ManagedSecret does not \
                     generate; it generates {}",
                    quoted(made)
                )
            }
            Self::Suspended { schedule } => write!(
                f,
                "RotationSchedule `{schedule}` is suspended; set `spec.suspend: false` there"
            ),
        }
    }
}

fn quoted(names: &[String]) -> String {
    let names: Vec<String> = names.iter().map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
