//! The state of one connection, and when it is closed: what it waits for, what it holds, and since when.
//!
//! A connection begins unauthenticated, and counts against its address. Once a request on it is
//! authenticated, it does so no longer. [`judge`] decides from facts and the time alone.

use std::any::Any;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::Notify;
use tokio::time::Instant;

use super::Admission;
use crate::gateway::request::{RefusalMetrics, Share, ShareExhausted};

/// Bytes of memory that an unauthenticated connection counts for: the TLS session and its buffer for a record
/// (4 KiB), what HTTP/1.1 reads into (8 KiB), and the task.
const UNAUTHENTICATED_CONNECTION_BYTES: u64 = 32 << 10;
/// What it counts for in addition with HTTP/2, whatever it sends, and no setting makes that less: buffers of
/// h2 for what is written (16 KiB) and decoded (4 KiB), and the tables of HPACK. What
/// [`LITTLE_TRAFFIC_BYTES`] fill beyond that lies where h2 would write, which has nothing to write yet.
const HTTP2_BYTES: u64 = 16 << 10;
/// What it counts for at least in addition once it has sent more than [`LITTLE_TRAFFIC_BYTES`] over HTTP/2: a
/// window (64 KiB; what a client has not confirmed makes it no smaller), a quarter KiB for each of 128 frames
/// in it (32 KiB), a header block and the frame that goes on with it (16 KiB each), and a record of TLS
/// (16 KiB).
const HTTP2_TRAFFIC_BYTES: u64 = 144 << 10;
/// The same over HTTP/1.1: the buffer that is read into, a piece of a body that nobody has taken, and a
/// record of TLS before and after it is decrypted (16 KiB each).
const HTTP1_TRAFFIC_BYTES: u64 = 64 << 10;
/// What an address may always hold, where there is so much: one connection with a request.
pub(super) const BUSY_CONNECTION_BYTES: u64 =
    UNAUTHENTICATED_CONNECTION_BYTES + HTTP2_BYTES + HTTP2_TRAFFIC_BYTES;
/// Bytes off the wire that the first amount covers: a handshake, and a first request with a token.
const LITTLE_TRAFFIC_BYTES: u64 = 8 << 10;
/// What frames leave behind that the first amount covers: a few streams and pieces of bodies.
const LITTLE_FRAME_BYTES: u64 = 8 << 10;
/// What each byte counts for with HTTP/2, for as long as the connection lasts. One byte that is kept keeps
/// the whole buffer that it was read into: a piece of a body, or a path in the table of HPACK, which has room
/// for a hundred. Half a frame at the end of such a buffer is copied into the next one.
const KEPT_PER_BYTE: u64 = 2;
/// By so much what a connection counts for grows at once.
const ACCOUNT_STEP: u64 = 16 << 10;
/// After so many bytes off the wire a connection of HTTP/2 that is still unauthenticated ends as soon as
/// nothing is asked on it: whoever goes on begins a new one, which holds nothing.
const MUCH_TRAFFIC_BYTES: u64 = 128 << 10;

/// What a connection counts for in addition by its protocol and by what it has sent. It is not `weighed`
/// where no buffer is larger than a head, with HTTP/1.1, and where API servers call.
fn traffic_bytes(http1: bool, weighed: bool, received: u64, frames: u64) -> u64 {
    let much = received > LITTLE_TRAFFIC_BYTES;
    let least = match (http1, much) {
        (true, false) => 0,
        (true, true) => HTTP1_TRAFFIC_BYTES,
        (false, false) => HTTP2_BYTES,
        (false, true) => HTTP2_BYTES + HTTP2_TRAFFIC_BYTES,
    };
    if !weighed {
        return least;
    }
    let kept = if much {
        received.saturating_mul(KEPT_PER_BYTE)
    } else {
        0
    };
    let kept = kept
        .saturating_add(frames.saturating_sub(LITTLE_FRAME_BYTES))
        .saturating_add(HTTP2_BYTES);
    least
        .max(kept)
        .checked_next_multiple_of(ACCOUNT_STEP)
        .unwrap_or(u64::MAX)
}

/// How long a connection may keep others waiting.
#[derive(Clone, Copy, Debug)]
pub(crate) struct ConnectionTimeouts {
    /// The TLS handshake as a whole.
    pub(in crate::gateway) handshake: Duration,
    /// A head from its first byte to its last.
    pub(in crate::gateway) head: Duration,
    /// Nothing from somebody who has not proven who it is.
    pub(in crate::gateway) silence: Duration,
    /// Nothing from somebody who has, over HTTP/1.1. HTTP/2 is asked whether it is alive.
    pub(in crate::gateway) idle: Duration,
    /// A piece of an answer that is not taken.
    pub(in crate::gateway) answer: Duration,
    /// How often it is looked at.
    pub(in crate::gateway) look: Duration,
}

impl Default for ConnectionTimeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            head: Duration::from_secs(10),
            silence: Duration::from_secs(10),
            idle: Duration::from_secs(60),
            answer: Duration::from_secs(10),
            look: Duration::from_secs(5),
        }
    }
}

/// Why a connection is ended by this side.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum EndReason {
    /// Who has not proven who it is was silent.
    Silent,
    /// Nothing was asked for long.
    Idle,
    /// A head did not end.
    Head,
    /// An answer was not taken.
    Answer,
    /// Who has not proven who it is holds too much.
    Share(ShareExhausted),
}

impl EndReason {
    /// As a metric and the log say it.
    pub(in crate::gateway) const fn as_str(self) -> &'static str {
        match self {
            Self::Silent => "silence",
            Self::Idle => "idle",
            Self::Head => "slow_head",
            Self::Answer => "answer_not_taken",
            Self::Share(_) => "share",
        }
    }
}

/// What decides whether a connection goes on.
#[derive(Clone, Copy, Debug)]
struct Facts {
    unauthenticated: bool,
    http1: bool,
    /// Requests whose answers are not taken whole.
    busy: usize,
    /// Since when nothing is asked.
    quiet: Instant,
    /// It has sent so much without proving anything that another one may take its place.
    spent: bool,
    /// When a head began that has not ended.
    head: Option<Instant>,
    /// When the oldest piece of an answer was given out that is not taken.
    piece: Option<Instant>,
    /// Since when the other side takes nothing off the wire.
    stalled: Option<Instant>,
}

/// What becomes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Verdict {
    /// It is looked at again then.
    Until(Instant),
    End(EndReason),
}

fn judge(facts: &Facts, timeouts: &ConnectionTimeouts, now: Instant) -> Verdict {
    let idle = facts.busy == 0;
    let waiting = [
        (facts.piece, timeouts.answer, EndReason::Answer),
        (facts.stalled, timeouts.answer, EndReason::Answer),
        (facts.head, timeouts.head, EndReason::Head),
        (
            (idle && facts.unauthenticated).then_some(facts.quiet),
            timeouts.silence,
            EndReason::Silent,
        ),
        (
            (idle && facts.spent).then_some(facts.quiet),
            Duration::ZERO,
            EndReason::Share(ShareExhausted::Each),
        ),
        (
            (idle && !facts.unauthenticated && facts.http1).then_some(facts.quiet),
            timeouts.idle,
            EndReason::Idle,
        ),
    ];
    let due = waiting
        .into_iter()
        .filter_map(|(since, time, end)| Some((since? + time, end)))
        .min_by_key(|(at, _)| *at);
    match due {
        Some((at, end)) if at <= now => Verdict::End(end),
        Some((at, _)) => Verdict::Until(at.min(now + timeouts.look)),
        None => Verdict::Until(now + timeouts.look),
    }
}

/// At whose expense a connection is.
enum Payer {
    /// Its address: memory, and one connection.
    Unauthenticated {
        memory: Share<IpAddr>,
        _connection: Share<IpAddr>,
    },
    /// Whoever proved who it is.
    Proven(#[expect(dead_code, reason = "held until the connection ends")] Box<dyn Any + Send>),
}

struct State {
    payer: Payer,
    /// Bytes that came off the wire.
    received: u64,
    /// What the frames among them may leave behind.
    frames: u64,
    /// What the connection counts for beyond its first amount.
    counted: u64,
    busy: usize,
    quiet: Instant,
    head: Option<Instant>,
    stalled: Option<Instant>,
    pieces: BTreeMap<u64, Instant>,
    next_piece: u64,
    end: Option<EndReason>,
}

/// What the listener and its requests know of a connection, and where they end it.
pub(in crate::gateway) struct Connection {
    address: IpAddr,
    http1: bool,
    /// What it sends counts for as long as it is unauthenticated.
    weighs_traffic: bool,
    timeouts: ConnectionTimeouts,
    state: Mutex<State>,
    ended: Notify,
    pub(super) refusals: RefusalMetrics,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection")
            .field("address", &self.address)
            .finish_non_exhaustive()
    }
}

/// What the address of a connection pays before the handshake.
pub(super) struct ConnectionShare {
    memory: Share<IpAddr>,
    connection: Share<IpAddr>,
}

impl ConnectionShare {
    /// Takes it.
    ///
    /// # Errors
    /// [`ShareExhausted`]: the connection is refused.
    pub(super) fn take(admission: &Admission, address: IpAddr) -> Result<Self, ShareExhausted> {
        let (memory, connections) = (&admission.memory, &admission.connections);
        let all = (connections.all(), connections.in_use());
        let most = admission.addresses.limit_beside(address, all, 1);
        Ok(Self {
            connection: connections.take_within(most, address, 1)?,
            memory: memory.take_within(
                admission.memory_limit(address),
                address,
                UNAUTHENTICATED_CONNECTION_BYTES,
            )?,
        })
    }
}

impl Connection {
    pub(super) fn new(
        admission: &Admission,
        deposit: ConnectionShare,
        address: IpAddr,
        http1: bool,
    ) -> Arc<Self> {
        let ConnectionShare { memory, connection } = deposit;
        Arc::new(Self {
            address,
            http1,
            weighs_traffic: admission.weighs_traffic && !http1,
            timeouts: admission.timeouts,
            state: Mutex::new(State {
                payer: Payer::Unauthenticated {
                    memory,
                    _connection: connection,
                },
                received: 0,
                frames: 0,
                counted: 0,
                busy: 0,
                quiet: Instant::now(),
                head: None,
                stalled: None,
                pieces: BTreeMap::new(),
                next_piece: 0,
                end: None,
            }),
            ended: Notify::new(),
            refusals: admission.refusals.clone(),
        })
    }

    /// Whether HTTP/1.1 is spoken.
    pub(in crate::gateway) const fn is_http1(&self) -> bool {
        self.http1
    }

    /// Whether what frames leave behind is to be told.
    pub(super) const fn weighs_frames(&self) -> bool {
        self.weighs_traffic
    }

    /// So many bytes have come off the wire by now; `readable`: there are some for HTTP among them, and their
    /// frames may leave so much behind. Returns whether the next ones count as well.
    ///
    /// # Errors
    /// [`ShareExhausted`]: the address has no room for more.
    pub(super) fn received(&self, readable: bool, in_all: u64, frames: u64) -> Result<bool, ShareExhausted> {
        let mut guard = self.state.lock();
        let state = &mut *guard;
        state.received = in_all;
        state.frames = state.frames.saturating_add(frames);
        if readable && self.http1 && state.busy == 0 && state.head.is_none() {
            state.head = Some(Instant::now());
        }
        let Payer::Unauthenticated { memory, .. } = &mut state.payer else {
            return Ok(false);
        };
        let counts = traffic_bytes(self.http1, self.weighs_traffic, state.received, state.frames);
        if counts > state.counted {
            memory.grow(counts.saturating_sub(state.counted))?;
            state.counted = counts;
        }
        Ok(true)
    }

    /// Whether the other side takes what is written.
    pub(super) fn takes(&self, takes: bool) {
        let mut state = self.state.lock();
        if takes {
            state.stalled = None;
        } else if state.stalled.is_none() {
            state.stalled = Some(Instant::now());
        }
    }

    /// A request has come whole, but for its body.
    pub(super) fn request(self: &Arc<Self>) -> RequestGuard {
        let mut state = self.state.lock();
        state.busy += 1;
        state.head = None;
        drop(state);
        RequestGuard(Arc::clone(self))
    }

    /// The head of a request holds so many bytes. While nobody has proven who asks, they count until what is
    /// returned is dropped, once the request counts itself: many heads come before the first of their tasks
    /// has a turn.
    ///
    /// # Errors
    /// [`ShareExhausted`]: the address has no room for it.
    pub(super) fn head(&self, bytes: u64) -> Result<Option<Share<IpAddr>>, ShareExhausted> {
        match &self.state.lock().payer {
            Payer::Unauthenticated { memory, .. } => memory.beside(bytes).map(Some),
            Payer::Proven(_) => Ok(None),
        }
    }

    /// Who asks has proven who it is: from now on the connection is at the expense of what `take` takes.
    ///
    /// # Errors
    /// What `take` returns; it stays at the expense of its address.
    pub(in crate::gateway) fn prove<E>(
        &self,
        take: impl FnOnce() -> Result<Box<dyn Any + Send>, E>,
    ) -> Result<(), E> {
        if matches!(self.state.lock().payer, Payer::Proven(_)) {
            return Ok(());
        }
        let taken = take()?;
        self.state.lock().payer = Payer::Proven(taken);
        Ok(())
    }

    /// Ends it, whatever is under way.
    pub(in crate::gateway) fn end(&self, end: EndReason) {
        self.state.lock().end.get_or_insert(end);
        self.ended.notify_one();
    }

    /// Returns when it must end, and why.
    pub(super) async fn must_end(&self) -> EndReason {
        loop {
            let now = Instant::now();
            let verdict = {
                let state = self.state.lock();
                let unauthenticated = matches!(state.payer, Payer::Unauthenticated { .. });
                let facts = Facts {
                    unauthenticated,
                    spent: unauthenticated && self.weighs_traffic && state.received > MUCH_TRAFFIC_BYTES,
                    http1: self.http1,
                    busy: state.busy,
                    quiet: state.quiet,
                    head: state.head,
                    piece: state.pieces.first_key_value().map(|(_, at)| *at),
                    stalled: state.stalled,
                };
                state
                    .end
                    .map_or_else(|| judge(&facts, &self.timeouts, now), Verdict::End)
            };
            match verdict {
                Verdict::End(end) => return end,
                Verdict::Until(at) => tokio::select! {
                    () = tokio::time::sleep_until(at) => {}
                    () = self.ended.notified() => {}
                },
            }
        }
    }
}

/// A request, until its answer is taken whole.
#[derive(Debug)]
pub(super) struct RequestGuard(Arc<Connection>);

impl RequestGuard {
    /// A piece of its answer is given out.
    pub(super) fn piece(&self) -> u64 {
        let mut state = self.0.state.lock();
        let number = state.next_piece;
        state.next_piece += 1;
        state.pieces.insert(number, Instant::now());
        number
    }

    /// The piece has been taken.
    pub(super) fn taken(&self, piece: u64) {
        self.0.state.lock().pieces.remove(&piece);
    }
}

impl Drop for RequestGuard {
    fn drop(&mut self) {
        let mut state = self.0.state.lock();
        state.busy = state.busy.saturating_sub(1);
        state.quiet = Instant::now();
    }
}

#[cfg(test)]
mod tests;
