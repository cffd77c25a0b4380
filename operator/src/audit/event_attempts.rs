//! How often an Event that the API server refuses is tried: it holds up the Events of all others meanwhile.
//!
//! A namespace may refuse every Event, by a quota or a webhook. That is not waited for each time anew: nobody
//! keeps others from hearing what happens to their objects.

use std::collections::HashMap;
use std::time::Duration;

use tokio::time::Instant;

use super::delivery::FORBIDDEN;

/// Batches in which an Event may fail with an answer of the API server before it is given up.
const MAX_ATTEMPTS: u32 = 8;
/// Of these, for an Event that its namespace does not let in.
const MAX_FORBIDDEN_ATTEMPTS: u32 = 3;
/// How long nobody waits for a namespace that let no Event in.
const FORBIDDEN_PERIOD: Duration = Duration::from_secs(600);
/// Namespaces of which that is remembered.
const MAX_FORBIDDEN_NAMESPACES: usize = 4_096;

/// What is known of attempts that failed.
#[derive(Debug, Default)]
pub(super) struct EventAttempts {
    /// Batches in a row of which something has to be sent again.
    failures: u32,
    /// Namespaces that let no Event in, and until when nobody waits for them.
    forbidden: HashMap<String, Instant>,
}

impl EventAttempts {
    /// Nothing of a batch has to be sent again.
    pub(super) const fn succeeded(&mut self) {
        self.failures = 0;
    }

    /// Something of a batch has to be sent again.
    pub(super) const fn failed(&mut self) {
        self.failures = self.failures.saturating_add(1);
    }

    /// Whether an Event in this namespace that failed for this cause once more is given up.
    pub(super) fn are_enough(&mut self, namespace: &str, cause: &str, now: Instant) -> bool {
        let attempts = self.failures.saturating_add(1);
        if cause != FORBIDDEN {
            return attempts >= MAX_ATTEMPTS;
        }
        self.forbidden.retain(|_, until| *until > now);
        if self.forbidden.contains_key(namespace) {
            return true;
        }
        let enough = attempts >= MAX_FORBIDDEN_ATTEMPTS;
        if enough && self.forbidden.len() < MAX_FORBIDDEN_NAMESPACES {
            self.forbidden
                .insert(namespace.to_owned(), now + FORBIDDEN_PERIOD);
        }
        enough
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_namespace_that_lets_no_event_in_holds_up_the_others_once() {
        let (mut attempts, now) = (EventAttempts::default(), Instant::now());
        for _ in 1..MAX_FORBIDDEN_ATTEMPTS {
            assert!(!attempts.are_enough("evil", FORBIDDEN, now));
            attempts.failed();
        }
        assert!(attempts.are_enough("evil", FORBIDDEN, now));
        attempts.succeeded();
        assert!(
            attempts.are_enough("evil", FORBIDDEN, now),
            "the next batch does not wait"
        );
        assert!(
            !attempts.are_enough("shop", FORBIDDEN, now),
            "that of another namespace may heal"
        );
        let later = now + FORBIDDEN_PERIOD;
        assert!(!attempts.are_enough("evil", FORBIDDEN, later), "it may heal too");
    }

    #[test]
    fn an_api_server_that_fails_gets_more_attempts() {
        let (mut attempts, now) = (EventAttempts::default(), Instant::now());
        for _ in 1..MAX_ATTEMPTS {
            assert!(!attempts.are_enough("shop", "server-error", now));
            attempts.failed();
        }
        assert!(attempts.are_enough("shop", "server-error", now));
        attempts.succeeded();
        assert!(!attempts.are_enough("shop", "server-error", now));
    }
}
