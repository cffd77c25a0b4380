//! Sums of refusals: the first of its kind is a record at once, the others of its minute are one record when
//! the minute closes.
//!
//! A kind is (principal or address, action, secret, reason). A caller's minute begins with the first refusal;
//! in it a caller has [`MAX_KINDS_PER_CALLER`] kinds of its own, callers that share a group have some in all,
//! and what is beyond is one count. So whoever is refused takes a bounded room in the log, however often and
//! whatever it asks, and the record that matters is found.
//!
//! Pure: entries and `now` in, records out. INVARIANT: the counts of all records that come out are the
//! refusals that went in. Must not write anything; [`super::Recorder`] does.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use strongroom_model::id::{RequestId, SecretId};
use strongroom_model::name::{NamespaceName, SecretName};
use strongroom_model::time::Timestamp;

use super::{Action, Actor, AuditOutcome, Circumstances, Entry};

/// How long refusals of a caller are summed.
const WINDOW: Duration = Duration::from_secs(60);
/// Kinds of one caller that are told apart within a minute.
const MAX_KINDS_PER_CALLER: usize = 64;
/// Kinds of all addresses whose callers proved nothing.
const MAX_KINDS_UNAUTHENTICATED: usize = 64;
/// Kinds of all callers of one namespace.
const MAX_KINDS_PER_NAMESPACE: usize = 128;
/// Kinds of everybody else together: people.
const MAX_KINDS_OF_USERS: usize = 1_024;
/// Kinds in all: a bound of memory.
const MAX_KINDS: usize = 8_192;
/// Callers of one group, and groups, that are told apart.
const MAX_CALLERS_PER_GROUP: usize = 1_024;
/// The code of a record that stands for refusals of several kinds.
const SEVERAL_KINDS: &str = "Several";

/// Who is counted together, and whose bounds hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum CallerGroup {
    Unauthenticated,
    /// The ServiceAccounts of one, as principals are written: `serviceaccount NAMESPACE/NAME`.
    Namespace(String),
    Users,
    Everybody,
}

impl CallerGroup {
    const fn kinds(&self) -> usize {
        match self {
            Self::Unauthenticated => MAX_KINDS_UNAUTHENTICATED,
            Self::Namespace(_) => MAX_KINDS_PER_NAMESPACE,
            Self::Users => MAX_KINDS_OF_USERS,
            Self::Everybody => 0,
        }
    }
}

/// Whose refusals one minute sums.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Caller {
    Address(IpAddr),
    Principal(String),
    /// All for whom there is no room of their own.
    Rest,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
struct RefusalKind {
    actor: String,
    action: Action,
    namespace: Option<NamespaceName>,
    secret: Option<SecretName>,
    code: String,
}

/// What came after the first of a kind.
#[derive(Clone, Debug)]
struct RefusalSum {
    since: Timestamp,
    request: Option<RequestId>,
    secret_id: Option<SecretId>,
    more: u64,
}

#[derive(Clone, Debug)]
struct MinuteWindow {
    began: Timestamp,
    kinds: BTreeMap<RefusalKind, RefusalSum>,
    rest: u64,
}

impl MinuteWindow {
    const fn starting_at(at: Timestamp) -> Self {
        Self {
            began: at,
            kinds: BTreeMap::new(),
            rest: 0,
        }
    }
}

/// Whether a minute is over. Also once a clock was set back by so much: it never lasts for long.
fn is_over(began: Timestamp, now: Timestamp) -> bool {
    now.since(began).max(began.since(now)) >= WINDOW
}

/// What is to be done about a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Disposition {
    /// It is a record of its own, now.
    Whole,
    /// One more in the sum of its minute.
    Counted,
}

/// The minutes that are open, and the records of those that closed until they are written.
#[derive(Debug, Default)]
pub(super) struct RefusalSums {
    minutes: BTreeMap<(CallerGroup, Caller), MinuteWindow>,
    /// Kinds and callers of each group.
    groups: BTreeMap<CallerGroup, (usize, usize)>,
    kinds: usize,
    closed: VecDeque<Entry>,
    /// When the oldest minute that is open began.
    oldest: Option<Timestamp>,
    /// When the last refusal came.
    last: Timestamp,
}

/// Whether an entry is one of those that are summed: a caller was refused. What the process itself is refused
/// stays one by one, and so does whatever was done.
pub(super) const fn is_summed(entry: &Entry) -> bool {
    matches!(
        (&entry.outcome, &entry.actor),
        (AuditOutcome::Refused(_), Actor::Principal(_))
    )
}

impl RefusalSums {
    /// Takes a refusal.
    pub(super) fn add(&mut self, entry: &Entry) -> Disposition {
        self.last = entry.time;
        let (group, caller, kind) = classify(entry);
        let place = (group, caller);
        if let Some(minute) = self.minutes.get_mut(&place)
            && let Some(sum) = minute.kinds.get_mut(&kind)
        {
            sum.more = sum.more.saturating_add(1);
            return Disposition::Counted;
        }
        let sum = RefusalSum {
            since: entry.time,
            request: entry.request,
            secret_id: entry.secret_id,
            more: 0,
        };
        if self.admits_kind(&place) {
            let minute = self.minute(place.clone(), entry.time);
            minute.kinds.insert(kind, sum);
            self.kinds += 1;
            self.groups.entry(place.0).or_default().0 += 1;
            return Disposition::Whole;
        }
        let place = self.overflow_key(place);
        let minute = self.minute(place, entry.time);
        minute.rest = minute.rest.saturating_add(1);
        Disposition::Counted
    }

    /// A refusal that was to be a record of its own could not be written: it is counted.
    pub(super) fn count_unwritten(&mut self, entry: &Entry) {
        let (group, caller, kind) = classify(entry);
        let minute = self.minute((group, caller), entry.time);
        match minute.kinds.get_mut(&kind) {
            Some(sum) => sum.more = sum.more.saturating_add(1),
            // The minute closed in between.
            None => minute.rest = minute.rest.saturating_add(1),
        }
    }

    /// Closes the minutes that are over. While records of former ones are not written, all stay open: they
    /// count on.
    pub(super) fn close(&mut self, now: Timestamp) {
        self.close_where(now, |minute| is_over(minute.began, now));
    }

    /// The same, where the oldest is: there is nothing to look at otherwise.
    pub(super) fn close_if_due(&mut self, now: Timestamp) {
        if self.oldest.is_some_and(|oldest| is_over(oldest, now)) {
            self.close(now);
        }
    }

    /// Closes all of them, as of the last refusal: there is no clock where a store ends.
    pub(super) fn close_all(&mut self) {
        self.close_where(self.last, |_| true);
    }

    /// The records of closed minutes that are not written yet. The first goes once it is.
    pub(super) const fn closed(&mut self) -> &mut VecDeque<Entry> {
        &mut self.closed
    }

    fn close_where(&mut self, now: Timestamp, which: impl Fn(&MinuteWindow) -> bool) {
        if !self.closed.is_empty() {
            return;
        }
        let over: Vec<(CallerGroup, Caller)> = self
            .minutes
            .iter()
            .filter(|(_, minute)| which(minute))
            .map(|(place, _)| place.clone())
            .collect();
        for place in over {
            let Some(minute) = self.minutes.remove(&place) else {
                continue;
            };
            self.kinds = self.kinds.saturating_sub(minute.kinds.len());
            if let Some((kinds, callers)) = self.groups.get_mut(&place.0) {
                *kinds = kinds.saturating_sub(minute.kinds.len());
                *callers = callers.saturating_sub(1);
                if *callers == 0 {
                    self.groups.remove(&place.0);
                }
            }
            let (group, caller) = place;
            let rest = overflow_entry(&group, &caller, &minute, now);
            let sums = minute.kinds.into_iter();
            self.closed.extend(
                sums.filter_map(|(kind, sum)| sum_entry(&caller, kind, &sum, now))
                    .chain(rest),
            );
        }
        self.oldest = self.minutes.values().map(|minute| minute.began).min();
    }

    fn minute(&mut self, place: (CallerGroup, Caller), now: Timestamp) -> &mut MinuteWindow {
        if !self.minutes.contains_key(&place) {
            self.groups.entry(place.0.clone()).or_default().1 += 1;
        }
        self.oldest = Some(self.oldest.map_or(now, |oldest| oldest.min(now)));
        self.minutes
            .entry(place)
            .or_insert_with(|| MinuteWindow::starting_at(now))
    }

    fn admits_caller(&self, place: &(CallerGroup, Caller)) -> bool {
        self.minutes.contains_key(place)
            || match self.groups.get(&place.0) {
                Some((_, callers)) => *callers < MAX_CALLERS_PER_GROUP.min(place.0.kinds()),
                None => self.groups.len() < MAX_CALLERS_PER_GROUP,
            }
    }

    fn admits_kind(&self, place: &(CallerGroup, Caller)) -> bool {
        let in_group = self.groups.get(&place.0).map_or(0, |(kinds, _)| *kinds);
        let of_caller = self.minutes.get(place).map_or(0, |minute| minute.kinds.len());
        self.admits_caller(place)
            && of_caller < MAX_KINDS_PER_CALLER
            && in_group < place.0.kinds()
            && self.kinds < MAX_KINDS
    }

    /// Where what is beyond a bound is counted: with the caller, with all of its group, or with everybody.
    fn overflow_key(&self, place: (CallerGroup, Caller)) -> (CallerGroup, Caller) {
        if self.admits_caller(&place) {
            return place;
        }
        let of_group = (place.0, Caller::Rest);
        if self.groups.contains_key(&of_group.0) {
            of_group
        } else {
            (CallerGroup::Everybody, Caller::Rest)
        }
    }
}

/// Where a refusal is counted.
fn classify(entry: &Entry) -> (CallerGroup, Caller, RefusalKind) {
    let actor = entry.actor.text().to_owned();
    let source = entry.circumstances.as_ref().and_then(|about| about.source);
    let (group, caller) = match source {
        Some(source) if entry.action == Action::Authenticate => {
            (CallerGroup::Unauthenticated, Caller::Address(source))
        }
        _ => {
            let account = actor.strip_prefix("serviceaccount ");
            let group = match account.and_then(|account| account.split_once('/')) {
                Some((namespace, _)) => CallerGroup::Namespace(namespace.to_owned()),
                None => CallerGroup::Users,
            };
            (group, Caller::Principal(actor.clone()))
        }
    };
    let code = match &entry.outcome {
        AuditOutcome::Refused(code) => code.clone(),
        AuditOutcome::Done => String::new(),
    };
    let kind = RefusalKind {
        actor,
        action: entry.action,
        namespace: entry.namespace.clone(),
        secret: entry.secret.clone(),
        code,
    };
    (group, caller, kind)
}

fn circumstances_of(caller: &Caller) -> Option<Box<Circumstances>> {
    match caller {
        Caller::Address(source) => Some(Box::new(Circumstances {
            source: Some(*source),
            ..Circumstances::default()
        })),
        Caller::Principal(_) | Caller::Rest => None,
    }
}

/// The record of what came after the first of a kind.
fn sum_entry(caller: &Caller, kind: RefusalKind, sum: &RefusalSum, now: Timestamp) -> Option<Entry> {
    let count = NonZeroU64::new(sum.more)?;
    Some(Entry {
        outcome: AuditOutcome::Refused(kind.code),
        namespace: kind.namespace,
        secret: kind.secret,
        secret_id: sum.secret_id,
        request: sum.request,
        detail: format!("{count} more like the one at {}", sum.since),
        circumstances: circumstances_of(caller),
        count,
        ..Entry::new(now, Actor::Principal(kind.actor), kind.action)
    })
}

/// The record of what was beyond a bound.
fn overflow_entry(
    group: &CallerGroup,
    caller: &Caller,
    minute: &MinuteWindow,
    now: Timestamp,
) -> Option<Entry> {
    let count = NonZeroU64::new(minute.rest)?;
    let who = match (caller, group) {
        (Caller::Principal(actor), _) => actor.clone(),
        (Caller::Address(_), _) => "unknown".to_owned(),
        (Caller::Rest, CallerGroup::Unauthenticated) => "callers without a valid token".to_owned(),
        (Caller::Rest, CallerGroup::Namespace(namespace)) => format!("serviceaccounts of {namespace}"),
        (Caller::Rest, CallerGroup::Users | CallerGroup::Everybody) => "others".to_owned(),
    };
    Some(Entry {
        outcome: AuditOutcome::Refused(SEVERAL_KINDS.to_owned()),
        detail: format!(
            "{count} of several kinds since {}, beyond what is told one by one",
            minute.began
        ),
        circumstances: circumstances_of(caller),
        count,
        ..Entry::new(now, Actor::Principal(who), Action::RefuseMore)
    })
}
