//! `CertificateCurrent`: what there is to say of the certificate of a secret.

use std::fmt;

use jiff::Timestamp;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Reason, condition};

use super::renewal::{CertificateFacts, OldRoots, Renewal, RenewalPolicy, Signature};
use crate::object::whole_second;
use crate::rotation::{Coverage, CoveringSchedule};
use crate::uid::Uid;

/// How many leaves are named that an authority waits for.
const MAX_NAMED: usize = 3;

/// Why the certificate is not current.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertificateProblem {
    /// It has ended.
    Expired,
    /// It ends soon.
    Expiring,
    /// Its authority has another key, or is another one.
    AuthorityChanged,
    /// It ends before the schedule's next rotation.
    ScheduleTooLong,
}

impl CertificateProblem {
    const ALL: [Self; 4] = [
        Self::Expired,
        Self::Expiring,
        Self::AuthorityChanged,
        Self::ScheduleTooLong,
    ];

    /// The reason of the condition.
    #[must_use]
    pub const fn reason(self) -> Reason {
        match self {
            Self::Expired => Reason::CertificateExpired,
            Self::Expiring => Reason::CertificateExpiring,
            Self::AuthorityChanged => Reason::AuthorityChanged,
            Self::ScheduleTooLong => Reason::ScheduleTooLong,
        }
    }

    /// The problem that a condition has as its reason, if it has one.
    #[must_use]
    pub fn from_reason(reason: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|problem| problem.reason().as_str() == reason)
    }
}

/// What a condition or an Event says.
struct CertificateFinding {
    status: ConditionStatus,
    reason: Reason,
    message: String,
}

/// `CertificateCurrent` of the object with this UID, under this schedule.
pub fn certificate_condition(
    certificate: &CertificateFacts,
    object: &Uid,
    schedule: &Coverage,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let CertificateFinding {
        status,
        reason,
        message,
    } = say(certificate, object, schedule, now);
    let type_ = ConditionType::CertificateCurrent;
    condition(type_, status, reason, message, generation, Time(now))
}

/// `CertificateCurrent` where no more is known of the certificate than what the status said of it, because an
/// attempt failed: it changes when the certificate ends.
pub fn ended_condition(
    key: &str,
    ended: Timestamp,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    (ended <= now).then(|| {
        let message = format!(
            "the certificate `{key}` ended at {}; its renewal fails, see condition Ready",
            whole_second(ended)
        );
        condition(
            ConditionType::CertificateCurrent,
            ConditionStatus::False,
            CertificateProblem::Expired.reason(),
            message,
            generation,
            Time(now),
        )
    })
}

fn say(
    certificate: &CertificateFacts,
    object: &Uid,
    schedule: &Coverage,
    now: Timestamp,
) -> CertificateFinding {
    let next = certificate.renewal(object, now);
    let (key, end) = (&certificate.key, whole_second(certificate.not_after));
    let how = RenewalText(certificate, &next);
    let no = |problem: CertificateProblem, message| CertificateFinding {
        status: ConditionStatus::False,
        reason: problem.reason(),
        message,
    };
    if certificate.has_ended(now) {
        return no(
            CertificateProblem::Expired,
            format!("the certificate `{key}` ended at {end}; {how}"),
        );
    }
    match &certificate.signature {
        Signature::Former { authority, since, .. } => {
            let message = format!(
                "the certificate `{key}` is signed by a former key of ManagedSecret `{authority}`, which has another one since {}; {how}",
                whole_second(*since)
            );
            return no(CertificateProblem::AuthorityChanged, message);
        }
        Signature::Other { authority } => {
            let message = format!(
                "the certificate `{key}` is not signed by ManagedSecret `{authority}`, which is now its authority; annotate with \
                 `strongroom.dev/rotate-now=TEXT` to reissue it at once, otherwise it is reissued at the next renewal: {how}"
            );
            return no(CertificateProblem::AuthorityChanged, message);
        }
        Signature::Own { .. } | Signature::Unknown { .. } | Signature::Current { .. } => {}
    }
    if certificate.alarms() <= now {
        return no(
            CertificateProblem::Expiring,
            format!("the certificate `{key}` ends at {end}; {how}"),
        );
    }
    let too_long = too_long(certificate, schedule);
    if let (Some(covering), None) = (too_long, certificate.renews_by_itself()) {
        let message = format!(
            "RotationSchedule `{}` rotates after longer than the life of the certificate `{key}`, which ends at {end}; {how}, or shorten the \
             schedule",
            covering.name
        );
        return no(CertificateProblem::ScheduleTooLong, message);
    }
    let mut message = format!("the certificate `{key}` is valid until {end}; {how}");
    if let Some(covering) = too_long {
        message.push_str(&format!(
            "; RotationSchedule `{}` rotates after longer than its life, so that it is renewed in between",
            covering.name
        ));
    }
    let mut reason = Reason::CertificateCurrent;
    if let (true, Signature::Current { authority, .. }) = (certificate.is_cut(), &certificate.signature) {
        reason = Reason::ValidityCut;
        message.push_str(&format!(
            "; `validFor` was cut, because the certificate of its authority, ManagedSecret `{authority}`, ends then"
        ));
    }
    if let Signature::Own { old_roots: Some(old) } = &certificate.signature {
        message.push_str(&format!("; {}", Overlap(old)));
    }
    CertificateFinding {
        status: ConditionStatus::True,
        reason,
        message,
    }
}

/// The schedule that rotates after longer than the certificate's life, if that is so.
pub fn too_long<'a>(certificate: &CertificateFacts, schedule: &'a Coverage) -> Option<&'a CoveringSchedule> {
    let Coverage::One(covering) = schedule else {
        return None;
    };
    match &covering.due {
        Ok(Some(due)) if due.duration_since(certificate.rotated) > certificate.life() => Some(covering),
        _ => None,
    }
}

/// What happens to the certificate next, in words.
struct RenewalText<'a>(&'a CertificateFacts, &'a Renewal);

impl fmt::Display for RenewalText<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(certificate, next) = self;
        match (next, certificate.policy, &certificate.signature) {
            (Renewal::Due(_), ..) => f.write_str("its renewal is due and waits for the problem in condition Ready"),
            (Renewal::At(at), ..) => write!(f, "it is renewed at {}", whole_second(*at)),
            (Renewal::SignedAnewAt(at), ..) => write!(f, "it is reissued at {}", whole_second(*at)),
            (Renewal::AfterAuthority, _, Signature::Current { authority, .. }) => write!(
                f,
                "its authority, ManagedSecret `{authority}`, expires no later, so it is renewed after that is renewed"
            ),
            (Renewal::AfterAuthority | Renewal::Unknown, ..) => {
                f.write_str("when it is renewed depends on its authority, which is not ready")
            }
            (Renewal::Never, RenewalPolicy::Immutable, _) => f.write_str(
                "it is not renewed, because `spec.secret.immutable` is true: remove that, or replace the ManagedSecret in time",
            ),
            (Renewal::Never, RenewalPolicy::Elsewhere, _) => f.write_str(
                "it is not renewed here, because its value comes from elsewhere: supply a new one in time",
            ),
            (Renewal::Never, ..) => f.write_str(
                "it is not renewed automatically, because `renewBefore` is `never`: annotate with `strongroom.dev/rotate-now=TEXT` in time, or set \
                 `renewBefore`",
            ),
        }
    }
}

struct Overlap<'a>(&'a OldRoots);

impl fmt::Display for Overlap<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("`ca.crt` holds the former root too, until every leaf and every consumer has moved")?;
        let needed = &self.0.needed_by;
        for (index, name) in needed.iter().take(MAX_NAMED).enumerate() {
            f.write_str(if index == 0 { "; it waits for " } else { ", " })?;
            write!(f, "`{name}`")?;
        }
        match needed.len().saturating_sub(MAX_NAMED) {
            0 => Ok(()),
            more => write!(f, " and {more} more"),
        }
    }
}
