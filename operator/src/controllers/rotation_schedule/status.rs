//! The status of a `RotationSchedule`: its secrets, and what keeps them from rotating.

use jiff::{SignedDuration, Timestamp};
use kube::core::Selector;
use kube::{Resource, ResourceExt};
use strongroom_crds::annotation::ROTATE_NOW;
use strongroom_crds::condition::{ConditionStatus, Reason};
use strongroom_crds::v1alpha1::{
    ManagedSecret, RenewBefore, RotatedSecret, RotationSchedule, RotationScheduleStatus, Source,
};
use strongroom_model::name::SecretName;
use strongroom_rules::generate;
use strongroom_rules::object::{ReadySummary, ready_conditions};
use strongroom_rules::rotation::{Coverage, RotationRefusal, RotationRequest, RotationRequester};
use strongroom_rules::schedule::Timetable;
use strongroom_store::vault::SecretView;

use super::events;
use crate::controllers::Ctx;
use crate::controllers::cached_object::{CachedObject, TooLarge};
use crate::controllers::coverage::{coverage, product_code, winner_for};
use crate::controllers::failure::Failure;
use crate::controllers::runtime::status_writer::{self, StatusSubject, time};
use crate::store_handle::timestamp;

/// How many secrets the status lists, those that are due first.
const MAX_LISTED: usize = 256;
/// How long after its time a rotation is overdue. One that is merely slow, or tried again, is not.
const OVERDUE_AFTER: SignedDuration = SignedDuration::from_secs(900);

/// Writes the status; answers with the earliest time at which one of its secrets is due.
pub(super) async fn refresh(
    ctx: &Ctx,
    kept: &CachedObject<RotationSchedule>,
    now: Timestamp,
) -> Result<Option<Timestamp>, Failure> {
    let generation = kube::Resource::meta(kept).generation;
    let (before, standing, mut rows) = match kept.parse() {
        Ok(object) => {
            let before = object.status.clone().unwrap_or_default();
            let rows = rows(ctx, &object, now).await?;
            let standing = ready_summary(&object, &rows);
            (before, standing, rows)
        }
        Err(misfit) => (
            RotationScheduleStatus::default(),
            ReadySummary::failed(Reason::ScheduleInvalid, misfit.to_string()),
            Vec::new(),
        ),
    };
    rows.sort_by(|a, b| (a.next.is_none(), a.next, &a.name).cmp(&(b.next.is_none(), b.next, &b.name)));
    let rotating = rows.iter().filter(|row| row.problem.is_none());
    let due = rotating.clone().filter_map(|row| row.next);
    let next = due.clone().min();
    let overdue = due.filter(|due| now.duration_since(*due) > OVERDUE_AFTER).count();
    ctx.metrics
        .overdue(&kept.namespace().unwrap_or_default(), &kept.name_any(), overdue);
    let conditions = ready_conditions(&standing, generation, now);
    let status = RotationScheduleStatus {
        observed_generation: generation,
        conditions: status_writer::conditions(&before.conditions, conditions),
        selected: Some(i32::try_from(rotating.count()).unwrap_or(i32::MAX)),
        next_rotation: next.map(time),
        last_rotation: rows.iter().filter_map(|row| row.last).max().map(time),
        secrets: rows
            .into_iter()
            .take(MAX_LISTED)
            .map(|row| row.into_status(now))
            .collect(),
    };
    write(ctx, kept, &before, &status).await?;
    events::tell(ctx, kept, &before, &status).await;
    Ok(next)
}

/// Writes that nothing is done for the schedule, for want of room.
pub(super) async fn left_out(
    ctx: &Ctx,
    kept: &CachedObject<RotationSchedule>,
    why: TooLarge,
    now: Timestamp,
) -> Result<(), Failure> {
    let before: RotationScheduleStatus = kept.status().unwrap_or_default();
    let generation = kept.meta().generation;
    let standing = ReadySummary::from(why);
    let conditions = ready_conditions(&standing, generation, now);
    let status = RotationScheduleStatus {
        observed_generation: generation,
        conditions: status_writer::conditions(&before.conditions, conditions),
        selected: Some(0),
        next_rotation: None,
        last_rotation: before.last_rotation.clone(),
        secrets: Vec::new(),
    };
    write(ctx, kept, &before, &status).await
}

async fn write(
    ctx: &Ctx,
    kept: &CachedObject<RotationSchedule>,
    before: &RotationScheduleStatus,
    status: &RotationScheduleStatus,
) -> Result<(), Failure> {
    let (namespace, name) = (kept.namespace().unwrap_or_default(), kept.name_any());
    let uid = kept.uid().unwrap_or_default();
    let subject = StatusSubject {
        namespace: &namespace,
        name: &name,
        uid: &uid,
    };
    status_writer::write::<RotationSchedule, _>(&ctx.client, subject, before, status).await?;
    Ok(())
}

/// One secret that the schedule claims.
struct Row {
    name: String,
    last: Option<Timestamp>,
    next: Option<Timestamp>,
    version: Option<String>,
    problem: Option<(Reason, String)>,
    /// What to know of a secret that rotates all the same.
    note: Option<Note>,
    /// The version for which the text of the schedule's `strongroom.dev/rotate-now` was used before.
    repeated: Option<String>,
}

/// The schedule rotates after longer than the life of a certificate.
struct Note {
    message: String,
    /// Nothing else renews it.
    ends: bool,
}

impl Row {
    /// Of one that it cannot have.
    fn failed(name: &str, reason: Reason, message: String) -> Self {
        Self {
            name: name.to_owned(),
            last: None,
            next: None,
            version: None,
            problem: Some((reason, message)),
            note: None,
            repeated: None,
        }
    }

    fn into_status(self, now: Timestamp) -> RotatedSecret {
        let overdue = self.next.filter(|next| now.duration_since(*next) > OVERDUE_AFTER);
        let overdue = overdue.map(|next| {
            let message = format!(
                "it was due at {} and is not rotated yet; the conditions of the ManagedSecret say why",
                next.strftime("%Y-%m-%dT%H:%M:%SZ")
            );
            (Reason::RotationOverdue, message)
        });
        let note = self.note.map(|note| (Reason::ScheduleTooLong, note.message));
        let repeated = self.repeated.map(|version| {
            let message = format!(
                "the text of the schedule's `strongroom.dev/rotate-now` was used before, for version `{version}`"
            );
            (Reason::RotateNowRepeated, message)
        });
        let (reason, message) = self.problem.or(overdue).or(repeated).or(note).unzip();
        RotatedSecret {
            name: self.name,
            last_rotation: self.last.map(time),
            next_rotation: self.next.map(time),
            version_id: self.version,
            reason: reason.map(|reason| reason.as_str().to_owned()),
            message: message.map(|mut message| {
                message.truncate(message.floor_char_boundary(1024));
                message
            }),
        }
    }
}

/// All secrets that the schedule claims, those that another one wins left out.
async fn rows(ctx: &Ctx, schedule: &RotationSchedule, now: Timestamp) -> Result<Vec<Row>, Failure> {
    let (namespace, own_name) = (schedule.namespace().unwrap_or_default(), schedule.name_any());
    let record = ctx.store.namespace(&namespace).await?;
    let mut rows = Vec::new();
    for cached in ctx.coverage.claimed(&namespace, schedule) {
        let Ok(object) = cached.parse() else { continue };
        let winner = winner_for(ctx, &namespace, &object)?;
        let name = object
            .spec
            .store_name
            .clone()
            .unwrap_or_else(|| object.name_any());
        let view = match (&record, SecretName::new(&name)) {
            (Some(record), Ok(name)) => ctx.store.find(record.id, &name).await?,
            _ => None,
        };
        let live = view.filter(|view| {
            view.is_live()
                && view
                    .object
                    .as_ref()
                    .is_some_and(|bound| Some(bound.uid.as_str()) == object.metadata.uid.as_deref())
        });
        let asked = schedule.annotations().get(ROTATE_NOW);
        let coverage = coverage(&winner, &object, live.as_ref(), now);
        let row = row((&own_name, asked), &object, live.as_ref(), coverage);
        // What it names it would have, but for the product.
        let is_kept_from = row.is_none()
            && product_code(&object).is_some()
            && schedule.spec.secrets.names(&object.name_any());
        rows.extend(row.or_else(|| {
            is_kept_from.then(|| {
                let message = format!(
                    "`{name}` is managed by a product, and no manager of it is known to have written this schedule: let the product rotate it"
                );
                Row::failed(&object.name_any(), Reason::NotManager, message)
            })
        }));
    }
    for name in schedule.spec.secrets.names.iter().flatten() {
        if !rows.iter().any(|row| row.name == *name) && !claimed_elsewhere(ctx, &namespace, name) {
            let message = "there is no ManagedSecret of this name".to_owned();
            rows.push(Row::failed(name, Reason::NothingSelected, message));
        }
    }
    Ok(rows)
}

/// The object exists, so that a missing row means that another schedule won it.
fn claimed_elsewhere(ctx: &Ctx, namespace: &str, name: &str) -> bool {
    ctx.managed_secrets
        .get(&kube::runtime::reflector::ObjectRef::new(name).within(namespace))
        .is_some()
}

/// What there is to say about one claimed secret; `None` when another schedule has the stronger claim.
fn row(
    (own_name, asked): (&str, Option<&String>),
    object: &ManagedSecret,
    live: Option<&SecretView>,
    coverage: Coverage,
) -> Option<Row> {
    let (next, problem) = match coverage {
        Coverage::None => return None,
        Coverage::One(covering) if covering.name != own_name => return None,
        Coverage::Conflict(names) if !names.iter().any(|name| name == own_name) => return None,
        Coverage::Conflict(names) => {
            let others: Vec<String> = names
                .iter()
                .filter(|name| *name != own_name)
                .map(|name| format!("`{name}`"))
                .collect();
            let message = format!("{} claim it equally, so none rotates it", others.join(", "));
            (None, Some((Reason::ScheduleConflict, message)))
        }
        Coverage::One(covering) => {
            let by_this = || format!("RotationSchedule `{own_name}`");
            let refusal = RotationRefusal::for_spec(&object.spec)
                .map(|refusal| refusal.asked_by(by_this))
                .or(covering.refusal);
            match (refusal, covering.due) {
                (Some(refusal), _) => (None, Some((refusal.reason(), refusal.to_string()))),
                (None, Err(problem)) => (None, Some((Reason::ScheduleInvalid, problem))),
                (None, Ok(next)) => (next.filter(|_| !covering.suspended), cannot(object, live)),
            }
        }
    };
    let note = next.and_then(|next| too_long(object, live?, next));
    let repeated = live.zip(asked).and_then(|(view, text)| used_before(view, text));
    Some(Row {
        note: note.filter(|_| problem.is_none()),
        repeated: repeated.filter(|_| problem.is_none()),
        name: object.name_any(),
        last: live.and_then(|view| view.rotation.last).map(timestamp),
        next: next.filter(|_| problem.is_none()),
        version: live
            .filter(|view| view.rotation.last.is_some())
            .and_then(|view| view.current_id().map(ToString::to_string)),
        problem,
    })
}

/// The version of this secret for which the text of the schedule's annotation was used before.
fn used_before(view: &SecretView, text: &str) -> Option<String> {
    if text.is_empty() {
        return None;
    }
    let stored = (view.id.as_bytes(), &view.labels);
    let has_version = |id: &str| view.has_version(id);
    RotationRequest::new((RotationRequester::Schedule, text), stored, has_version)
        .done_before()
        .map(str::to_owned)
}

/// Whether the schedule rotates after longer than the life of the certificate that the secret holds.
fn too_long(object: &ManagedSecret, live: &SecretView, next: Timestamp) -> Option<Note> {
    let Source::Generate(source) = &object.spec.source else {
        return None;
    };
    let (key, x509) = generate::certificate_source(&source.keys)?;
    let between = next.duration_since(timestamp(live.last_rotation()));
    if between.as_secs() <= generate::validity(x509) {
        return None;
    }
    let ends = x509.renew_before == Some(RenewBefore::Never);
    let after = if ends {
        "and its `renewBefore` is `never`: shorten the schedule or remove that"
    } else {
        "so that it is renewed in between"
    };
    let message =
        format!("the schedule rotates after longer than the life of the certificate `{key}.crt`, {after}");
    Some(Note { message, ends })
}

/// Why this secret cannot rotate now, if so.
fn cannot(object: &ManagedSecret, live: Option<&SecretView>) -> Option<(Reason, String)> {
    if object.spec.suspend == Some(true) {
        return Some((
            Reason::Suspended,
            "`spec.suspend` of the ManagedSecret is true".to_owned(),
        ));
    }
    live.is_none().then(|| {
        (
            Reason::SecretsNotReady,
            "it has no value yet, see its conditions".to_owned(),
        )
    })
}

/// That the text of the schedule's annotation was used before, and for which of its secrets.
fn repeated(rows: &[Row]) -> Option<String> {
    let used = || {
        rows.iter()
            .filter_map(|row| Some((&row.name, row.repeated.as_ref()?)))
    };
    let (name, version) = used().min()?;
    let more = match used().count().saturating_sub(1) {
        0 => String::new(),
        more => format!(" and {more} more"),
    };
    Some(format!(
        "the text of `strongroom.dev/rotate-now` was used before, for version `{version}` of `{name}`{more}, so nothing is rotated \
         there: use a new text"
    ))
}

/// So many seconds in the largest unit that fits.
fn in_units(seconds: u64) -> String {
    let units = [("d", 86_400), ("h", 3_600), ("m", 60)];
    let fits = units.into_iter().find(|(_, unit)| seconds.is_multiple_of(*unit));
    fits.map_or_else(
        || format!("{seconds}s"),
        |(name, unit)| format!("{}{name}", seconds / unit),
    )
}

/// How the schedule as a whole stands.
fn ready_summary(schedule: &RotationSchedule, rows: &[Row]) -> ReadySummary {
    let spec = &schedule.spec;
    let selector = spec.secrets.selector.clone().map(Selector::try_from);
    if let Some(Err(error)) = selector {
        return ReadySummary::failed(
            Reason::ScheduleInvalid,
            format!("`spec.secrets.selector`: {error}"),
        );
    }
    let timetable = match Timetable::parse(spec) {
        Ok(timetable) => timetable,
        Err(error) => return ReadySummary::failed(Reason::ScheduleInvalid, error.to_string()),
    };
    if spec.suspend == Some(true) {
        let asks = schedule.annotations().contains_key(ROTATE_NOW);
        let waits = if asks {
            ", and what `strongroom.dev/rotate-now` asks for waits"
        } else {
            ""
        };
        let message = format!("`spec.suspend` is true: nothing is rotated until it is false{waits}");
        return ReadySummary {
            ready: ConditionStatus::True,
            reason: Reason::Suspended,
            message,
        };
    }
    if rows.is_empty() {
        let message = "no ManagedSecret is selected yet, or other schedules name those that are; one that comes is rotated";
        return ReadySummary {
            ready: ConditionStatus::True,
            reason: Reason::NothingSelected,
            message: message.to_owned(),
        };
    }
    let worst = rows
        .iter()
        .filter_map(|row| row.problem.as_ref().map(|(reason, _)| (*reason, row)))
        .min_by_key(|(reason, _)| match reason {
            Reason::ScheduleConflict => 0,
            Reason::ScheduleInvalid => 1,
            Reason::NothingToRotate | Reason::ImmutableNotRotatable => 2,
            Reason::NothingSelected => 3,
            _ => 4,
        });
    let noted = rows
        .iter()
        .filter_map(|row| Some((row, row.note.as_ref()?)))
        .max_by_key(|(_, note)| note.ends);
    let noted = noted.map(|(row, note)| (format!("`{}`: {}", row.name, note.message), note.ends));
    let repeated = repeated(rows);
    let but = |text: &Option<String>| text.as_ref().map_or_else(String::new, |text| format!("; {text}"));
    match worst {
        None => {
            let rotate = format!("{} ManagedSecrets rotate by this schedule", rows.len());
            match (noted, timetable.gap_below_jitter()) {
                (Some((note, true)), _) => ReadySummary::failed(
                    Reason::ScheduleTooLong,
                    format!("{rotate}; {note}{}; see status.secrets", but(&repeated)),
                ),
                (noted, Some(gap)) => ReadySummary::failed(
                    Reason::JitterTooLong,
                    format!(
                        "`spec.jitter` is longer than the {} that lie between two times of `spec.schedule`, so that rotations move into one \
                         another: shorten it; {rotate}{}{}",
                        in_units(gap),
                        but(&repeated),
                        but(&noted.map(|(note, _)| note))
                    ),
                ),
                (noted, None) => ReadySummary {
                    ready: ConditionStatus::True,
                    reason: match repeated {
                        Some(_) => Reason::RotateNowRepeated,
                        None => Reason::Ready,
                    },
                    message: format!("{rotate}{}{}", but(&repeated), but(&noted.map(|(note, _)| note))),
                },
            }
        }
        Some((reason, row)) => {
            let (count, name) = (rows.iter().filter(|row| row.problem.is_some()).count(), &row.name);
            let what = row
                .problem
                .as_ref()
                .map(|(_, message)| message.as_str())
                .unwrap_or_default();
            let message = format!(
                "{count} of {} do not rotate; `{name}`: {what}{}; see status.secrets",
                rows.len(),
                but(&repeated)
            );
            // Of several reasons, a suspended secret alone is nobody's fault.
            match reason {
                Reason::Suspended => ReadySummary {
                    ready: ConditionStatus::True,
                    reason: Reason::Ready,
                    message,
                },
                reason => ReadySummary::failed(reason, message),
            }
        }
    }
}
