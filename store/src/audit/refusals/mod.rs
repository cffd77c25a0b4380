//! Sums of refusals: the first of its kind is a record at once, the others of its minute are one record when the minute closes.
//!
//! A kind is (principal or address, action, secret, reason). A caller's minute begins with the first refusal; in it a caller has [`KINDS`] kinds of
//! its own, callers that share a room have some in all, and what is beyond is one count. So whoever is refused takes a bounded room in the log,
//! however often and whatever it asks, and the record that matters is found.
//!
//! Pure: entries and `now` in, records out. INVARIANT: the counts of all records that come out are the refusals that went in. Must not write
//! anything; [`super::Recorder`] does.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};
use std::net::IpAddr;
use std::num::NonZeroU64;
use std::time::Duration;

use super::{Action, Actor, Circumstances, Entry, Outcome};
use crate::id::{RequestId, SecretId};
use crate::name::{NamespaceName, SecretName};
use crate::time::Timestamp;

/// How long refusals of a caller are summed.
const MINUTE: Duration = Duration::from_secs(60);
/// Kinds of one caller that are told apart within a minute.
const KINDS: usize = 64;
/// Kinds of all addresses whose callers proved nothing.
const OF_STRANGERS: usize = 64;
/// Kinds of all callers of one namespace.
const OF_NAMESPACE: usize = 128;
/// Kinds of everybody else together: people.
const OF_PEOPLE: usize = 1_024;
/// Kinds in all: a bound of memory.
const IN_ALL: usize = 8_192;
/// Callers of one room, and rooms, that are told apart.
const CALLERS: usize = 1_024;
/// The code of a record that stands for refusals of several kinds.
const SEVERAL: &str = "Several";

/// Who is counted together, and whose bounds hold.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Room {
    Strangers,
    /// The ServiceAccounts of one, as principals are written: `serviceaccount NAMESPACE/NAME`.
    Namespace(String),
    People,
    Everybody,
}

impl Room {
    const fn kinds(&self) -> usize {
        match self {
            Self::Strangers => OF_STRANGERS,
            Self::Namespace(_) => OF_NAMESPACE,
            Self::People => OF_PEOPLE,
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
struct Kind {
    actor: String,
    action: Action,
    namespace: Option<NamespaceName>,
    secret: Option<SecretName>,
    code: String,
}

/// What came after the first of a kind.
#[derive(Clone, Debug)]
struct Sum {
    since: Timestamp,
    request: Option<RequestId>,
    secret_id: Option<SecretId>,
    more: u64,
}

#[derive(Clone, Debug)]
struct Minute {
    began: Timestamp,
    kinds: BTreeMap<Kind, Sum>,
    rest: u64,
}

impl Minute {
    const fn begins(at: Timestamp) -> Self {
        Self {
            began: at,
            kinds: BTreeMap::new(),
            rest: 0,
        }
    }
}

/// Whether a minute is over. Also once a clock was set back by so much: it never lasts for long.
fn is_over(began: Timestamp, now: Timestamp) -> bool {
    now.since(began).max(began.since(now)) >= MINUTE
}

/// What is to be done about a refusal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Taken {
    /// It is a record of its own, now.
    Whole,
    /// It is counted.
    Counted,
}

/// The minutes that are open, and the records of those that closed until they are written.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    minutes: BTreeMap<(Room, Caller), Minute>,
    /// Kinds and callers of each room.
    rooms: BTreeMap<Room, (usize, usize)>,
    kinds: usize,
    closed: VecDeque<Entry>,
    /// When the oldest minute that is open began.
    oldest: Option<Timestamp>,
    /// When the last refusal came.
    last: Timestamp,
}

/// Whether an entry is one of those that are summed: a caller was refused. What the process itself is refused stays one by one, and so does
/// whatever was done.
pub(super) const fn is_summed(entry: &Entry) -> bool {
    matches!(
        (&entry.outcome, &entry.actor),
        (Outcome::Refused(_), Actor::Principal(_))
    )
}

impl Refusals {
    /// Takes a refusal.
    pub(super) fn take(&mut self, entry: &Entry) -> Taken {
        self.last = entry.time;
        let (room, caller, kind) = of(entry);
        let place = (room, caller);
        if let Some(minute) = self.minutes.get_mut(&place)
            && let Some(sum) = minute.kinds.get_mut(&kind)
        {
            sum.more = sum.more.saturating_add(1);
            return Taken::Counted;
        }
        let sum = Sum {
            since: entry.time,
            request: entry.request,
            secret_id: entry.secret_id,
            more: 0,
        };
        if self.has_room_for_kind(&place) {
            let minute = self.minute(place.clone(), entry.time);
            minute.kinds.insert(kind, sum);
            self.kinds += 1;
            self.rooms.entry(place.0).or_default().0 += 1;
            return Taken::Whole;
        }
        let place = self.place_of_rest(place);
        let minute = self.minute(place, entry.time);
        minute.rest = minute.rest.saturating_add(1);
        Taken::Counted
    }

    /// A refusal that was to be a record of its own could not be written: it is counted.
    pub(super) fn was_not_written(&mut self, entry: &Entry) {
        let (room, caller, kind) = of(entry);
        let minute = self.minute((room, caller), entry.time);
        match minute.kinds.get_mut(&kind) {
            Some(sum) => sum.more = sum.more.saturating_add(1),
            // The minute closed in between.
            None => minute.rest = minute.rest.saturating_add(1),
        }
    }

    /// Closes the minutes that are over. While records of former ones are not written, all stay open: they count on.
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

    fn close_where(&mut self, now: Timestamp, which: impl Fn(&Minute) -> bool) {
        if !self.closed.is_empty() {
            return;
        }
        let over: Vec<(Room, Caller)> = self
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
            if let Some((kinds, callers)) = self.rooms.get_mut(&place.0) {
                *kinds = kinds.saturating_sub(minute.kinds.len());
                *callers = callers.saturating_sub(1);
                if *callers == 0 {
                    self.rooms.remove(&place.0);
                }
            }
            let (room, caller) = place;
            let rest = more_of(&room, &caller, &minute, now);
            let sums = minute.kinds.into_iter();
            self.closed.extend(
                sums.filter_map(|(kind, sum)| summed(&caller, kind, &sum, now))
                    .chain(rest),
            );
        }
        self.oldest = self.minutes.values().map(|minute| minute.began).min();
    }

    fn minute(&mut self, place: (Room, Caller), now: Timestamp) -> &mut Minute {
        if !self.minutes.contains_key(&place) {
            self.rooms.entry(place.0.clone()).or_default().1 += 1;
        }
        self.oldest = Some(self.oldest.map_or(now, |oldest| oldest.min(now)));
        self.minutes.entry(place).or_insert_with(|| Minute::begins(now))
    }

    fn has_room_for_caller(&self, place: &(Room, Caller)) -> bool {
        self.minutes.contains_key(place)
            || match self.rooms.get(&place.0) {
                Some((_, callers)) => *callers < CALLERS.min(place.0.kinds()),
                None => self.rooms.len() < CALLERS,
            }
    }

    fn has_room_for_kind(&self, place: &(Room, Caller)) -> bool {
        let in_room = self.rooms.get(&place.0).map_or(0, |(kinds, _)| *kinds);
        let of_caller = self.minutes.get(place).map_or(0, |minute| minute.kinds.len());
        self.has_room_for_caller(place)
            && of_caller < KINDS
            && in_room < place.0.kinds()
            && self.kinds < IN_ALL
    }

    /// Where what is beyond a bound is counted: with the caller, with all of its room, or with everybody.
    fn place_of_rest(&self, place: (Room, Caller)) -> (Room, Caller) {
        if self.has_room_for_caller(&place) {
            return place;
        }
        let of_room = (place.0, Caller::Rest);
        if self.rooms.contains_key(&of_room.0) {
            of_room
        } else {
            (Room::Everybody, Caller::Rest)
        }
    }
}

/// Where a refusal is counted.
fn of(entry: &Entry) -> (Room, Caller, Kind) {
    let actor = entry.actor.text().to_owned();
    let source = entry.circumstances.as_ref().and_then(|about| about.source);
    let (room, caller) = match source {
        Some(source) if entry.action == Action::Authenticate => (Room::Strangers, Caller::Address(source)),
        _ => {
            let account = actor.strip_prefix("serviceaccount ");
            let room = match account.and_then(|account| account.split_once('/')) {
                Some((namespace, _)) => Room::Namespace(namespace.to_owned()),
                None => Room::People,
            };
            (room, Caller::Principal(actor.clone()))
        }
    };
    let code = match &entry.outcome {
        Outcome::Refused(code) => code.clone(),
        Outcome::Done => String::new(),
    };
    let kind = Kind {
        actor,
        action: entry.action,
        namespace: entry.namespace.clone(),
        secret: entry.secret.clone(),
        code,
    };
    (room, caller, kind)
}

fn from_where(caller: &Caller) -> Option<Box<Circumstances>> {
    match caller {
        Caller::Address(source) => Some(Box::new(Circumstances {
            source: Some(*source),
            ..Circumstances::default()
        })),
        Caller::Principal(_) | Caller::Rest => None,
    }
}

/// The record of what came after the first of a kind.
fn summed(caller: &Caller, kind: Kind, sum: &Sum, now: Timestamp) -> Option<Entry> {
    let count = NonZeroU64::new(sum.more)?;
    Some(Entry {
        outcome: Outcome::Refused(kind.code),
        namespace: kind.namespace,
        secret: kind.secret,
        secret_id: sum.secret_id,
        request: sum.request,
        detail: format!("{count} more like the one at {}", sum.since),
        circumstances: from_where(caller),
        count,
        ..Entry::new(now, Actor::Principal(kind.actor), kind.action)
    })
}

/// The record of what was beyond a bound.
fn more_of(room: &Room, caller: &Caller, minute: &Minute, now: Timestamp) -> Option<Entry> {
    let count = NonZeroU64::new(minute.rest)?;
    let who = match (caller, room) {
        (Caller::Principal(actor), _) => actor.clone(),
        (Caller::Address(_), _) => "unknown".to_owned(),
        (Caller::Rest, Room::Strangers) => "callers without a valid token".to_owned(),
        (Caller::Rest, Room::Namespace(namespace)) => format!("serviceaccounts of {namespace}"),
        (Caller::Rest, Room::People | Room::Everybody) => "others".to_owned(),
    };
    Some(Entry {
        outcome: Outcome::Refused(SEVERAL.to_owned()),
        detail: format!(
            "{count} of several kinds since {}, beyond what is told one by one",
            minute.began
        ),
        circumstances: from_where(caller),
        count,
        ..Entry::new(now, Actor::Principal(who), Action::RefuseMore)
    })
}
