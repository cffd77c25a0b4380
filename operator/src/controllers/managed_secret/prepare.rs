//! A step of the plan together with the data that it needs. The plan decides by facts alone; the other data
//! that was read is attached to each step here, once, so that the code that carries a step out need not check
//! whether its data is there.

use k8s_openapi::api::core::v1::Secret;
use strongroom_crds::v1alpha1::{
    GenerateSource, ManagedCertificateAuthority, SealedSource, Source, X509Source,
};
use strongroom_model::id::NamespaceId;
use strongroom_model::name::VersionId;
use strongroom_rules::generate;
use strongroom_rules::managed_secret::facts::DesiredState;
use strongroom_rules::managed_secret::plan::{FirstVersionSource, NativeStep, SecretStep, VersionReason};
use strongroom_rules::managed_secret::renewal::CertificateChange;
use strongroom_rules::rotation::RotationStep;
use strongroom_rules::uid::Uid;
use strongroom_store::value::Value;
use strongroom_store::vault::SecretView;

use super::import::ImportContent;
use super::native::RenderedSecret;
use super::observed_secret::ObservedSecret;
use crate::controllers::cluster::NativeRevision;

/// A step that can be carried out.
pub(super) enum PreparedStep<'a> {
    Nothing,
    BindNamespace,
    AcceptNamespace,
    BindObject(&'a SecretView),
    Create(PreparedCreate<'a>),
    UpdateMetadata(StoredTarget<'a>),
    UpdateKey(&'a SecretView),
    EnsureVersion(VersionTarget<'a>, PreparedVersion<'a>),
    Rotate(VersionTarget<'a>, &'a GenerateSource, &'a RotationStep),
    TakeSealed(VersionTarget<'a>, &'a SealedSource),
    Restore(&'a SecretView),
    Purge(&'a SecretView),
    Native(StoredTarget<'a>, PreparedNative<'a>),
}

/// A secret that is there, and what it is to be.
#[derive(Clone, Copy)]
pub(super) struct StoredTarget<'a> {
    pub(super) record: &'a SecretView,
    pub(super) wanted: &'a DesiredState,
}

/// A secret that gets a version.
#[derive(Clone, Copy)]
pub(super) struct VersionTarget<'a> {
    pub(super) record: &'a SecretView,
    pub(super) wanted: &'a DesiredState,
    /// Id of the current version, on which the new one stands.
    pub(super) base: &'a VersionId,
}

/// A secret that is to be made.
pub(super) struct PreparedCreate<'a> {
    pub(super) namespace: NamespaceId,
    pub(super) wanted: &'a DesiredState,
    pub(super) first: FirstVersion<'a>,
}

/// Where a first version comes from.
pub(super) enum FirstVersion<'a> {
    Generated(&'a GenerateSource),
    Imported(&'a ImportContent, Value),
    Sealed(&'a SealedSource),
    Readopted(&'a Secret),
}

/// Where another version comes from.
pub(super) enum PreparedVersion<'a> {
    SpecChanged(&'a GenerateSource),
    Imported(&'a ImportContent, Value),
    Certificate(PreparedCertificate<'a>),
}

/// A change of a certificate, and what makes that.
pub(super) struct PreparedCertificate<'a> {
    pub(super) source: &'a GenerateSource,
    /// Name of the key in the source.
    pub(super) name: &'a str,
    pub(super) x509: &'a X509Source,
    pub(super) change: PreparedChange<'a>,
}

/// What becomes of the certificate.
pub(super) enum PreparedChange<'a> {
    Renew,
    SignAnew,
    FollowAuthority(&'a ManagedCertificateAuthority),
    DropOldRoots,
}

/// A change of the native Secret.
pub(super) enum PreparedNative<'a> {
    Create(&'a RenderedSecret),
    Adopt {
        name: &'a str,
        uid: &'a Uid,
    },
    Apply {
        rendered: &'a RenderedSecret,
        over: &'a NativeRevision,
    },
    Replace {
        rendered: &'a RenderedSecret,
        found: &'a Secret,
        over: &'a NativeRevision,
    },
    Hold {
        name: &'a str,
        uid: &'a Uid,
    },
    Remove {
        name: &'a str,
        uid: &'a Uid,
    },
}

/// The step with what was read; none where that lacks something, which the facts then said was there: a
/// defect here.
pub(super) fn prepare<'a>(observed: &'a ObservedSecret, step: &'a SecretStep) -> Option<PreparedStep<'a>> {
    let record = observed.view.as_ref();
    Some(match step {
        SecretStep::Nothing => PreparedStep::Nothing,
        SecretStep::BindNamespace => PreparedStep::BindNamespace,
        SecretStep::AcceptNamespace => PreparedStep::AcceptNamespace,
        SecretStep::BindObject => PreparedStep::BindObject(record?),
        SecretStep::CreateSecret(first) => PreparedStep::Create(PreparedCreate {
            namespace: observed.namespace?,
            wanted: observed.facts.wanted.as_ref().ok()?,
            first: first_version(observed, *first)?,
        }),
        SecretStep::UpdateMetadata => PreparedStep::UpdateMetadata(stored(observed)?),
        SecretStep::UpdateKey => PreparedStep::UpdateKey(record?),
        SecretStep::EnsureVersion(why) => {
            let version = match why {
                VersionReason::SpecChanged => PreparedVersion::SpecChanged(generated(observed)?),
                VersionReason::Imported => {
                    let (content, value) = imported(observed)?;
                    PreparedVersion::Imported(content, value)
                }
                VersionReason::Certificate(change) => {
                    PreparedVersion::Certificate(certificate(observed, *change)?)
                }
            };
            PreparedStep::EnsureVersion(version_target(observed)?, version)
        }
        SecretStep::Rotate(step) => {
            PreparedStep::Rotate(version_target(observed)?, generated(observed)?, step)
        }
        SecretStep::TakeSealed => PreparedStep::TakeSealed(version_target(observed)?, sealed(observed)?),
        SecretStep::Restore => PreparedStep::Restore(record?),
        SecretStep::Purge => PreparedStep::Purge(record?),
        SecretStep::Native(step) => PreparedStep::Native(stored(observed)?, native(observed, step)?),
    })
}

fn stored(observed: &ObservedSecret) -> Option<StoredTarget<'_>> {
    Some(StoredTarget {
        record: observed.view.as_ref()?,
        wanted: observed.facts.wanted.as_ref().ok()?,
    })
}

fn version_target(observed: &ObservedSecret) -> Option<VersionTarget<'_>> {
    let StoredTarget { record, wanted } = stored(observed)?;
    let base = record.current_id()?;
    Some(VersionTarget { record, wanted, base })
}

fn first_version(observed: &ObservedSecret, first: FirstVersionSource) -> Option<FirstVersion<'_>> {
    Some(match first {
        FirstVersionSource::Generated => FirstVersion::Generated(generated(observed)?),
        FirstVersionSource::Imported => {
            let (content, value) = imported(observed)?;
            FirstVersion::Imported(content, value)
        }
        FirstVersionSource::Sealed => FirstVersion::Sealed(sealed(observed)?),
        FirstVersionSource::Readopted => FirstVersion::Readopted(observed.native.as_ref()?),
    })
}

fn generated(observed: &ObservedSecret) -> Option<&GenerateSource> {
    match &observed.object.spec.source {
        Source::Generate(source) => Some(source),
        Source::Import(_) | Source::External(_) | Source::Sealed(_) => None,
    }
}

fn certificate(observed: &ObservedSecret, change: CertificateChange) -> Option<PreparedCertificate<'_>> {
    let source = generated(observed)?;
    let (name, x509) = generate::certificate_source(&source.keys)?;
    Some(PreparedCertificate {
        source,
        name,
        x509,
        change: match change {
            CertificateChange::Renew => PreparedChange::Renew,
            CertificateChange::SignAnew => PreparedChange::SignAnew,
            CertificateChange::FollowAuthority => {
                PreparedChange::FollowAuthority(generate::certificate_authority(x509)?)
            }
            CertificateChange::DropOldRoots => PreparedChange::DropOldRoots,
        },
    })
}

fn imported(observed: &ObservedSecret) -> Option<(&ImportContent, Value)> {
    let content = observed.import.as_ref()?;
    Some((content, content.value()?))
}

fn sealed(observed: &ObservedSecret) -> Option<&SealedSource> {
    match &observed.object.spec.source {
        Source::Sealed(source) => Some(source),
        Source::Generate(_) | Source::Import(_) | Source::External(_) => None,
    }
}

fn native<'a>(observed: &'a ObservedSecret, step: &'a NativeStep) -> Option<PreparedNative<'a>> {
    let (rendered, over) = (observed.desired.as_ref(), observed.over.as_ref());
    Some(match step {
        NativeStep::Create => PreparedNative::Create(rendered?),
        NativeStep::Adopt { uid } => PreparedNative::Adopt {
            name: native_name(observed)?,
            uid,
        },
        NativeStep::Apply { .. } => PreparedNative::Apply {
            rendered: rendered?,
            over: over?,
        },
        NativeStep::Replace { .. } => PreparedNative::Replace {
            rendered: rendered?,
            found: observed.native.as_ref()?,
            over: over?,
        },
        NativeStep::Hold { uid } => PreparedNative::Hold {
            name: native_name(observed)?,
            uid,
        },
        NativeStep::Remove { name, uid } => PreparedNative::Remove { name, uid },
    })
}

/// The name of the native Secret that the object wants.
pub(super) fn native_name(observed: &ObservedSecret) -> Option<&str> {
    let wanted = observed.facts.wanted.as_ref().ok()?;
    Some(&wanted.native.as_ref()?.name)
}
