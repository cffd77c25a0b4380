//! How much a listener has room for. What one caller may have of it is at every listener the same part as at
//! the shared gateway, whose numbers [`super::limits`] has.

use super::limits;

/// Fewest bytes of memory of those who have not proven who they are: five percent are worth some handshakes.
const MIN_UNAUTHENTICATED_BYTES: u64 = 16 << 20;
/// Fewest bytes of answers: what the largest one has, several times.
const MIN_ANSWER_BYTES: u64 = 8 << 20;
/// Fewest tokens that are reviewed at the same time: as many as one address may have.
const MIN_REVIEWS: usize = limits::MAX_REVIEWS_PER_ADDRESS;

/// What a listener has room for at the same time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ListenerCapacity {
    /// Connections of unproven callers, and as many of others, but for a bound.
    pub(crate) connections: u64,
    /// Requests of proven callers, and twice as many of others.
    pub(crate) requests: u64,
}

/// The part that is to a number of the shared gateway as `own` is to what that has in all.
fn part(shared: u64, own: u64, all: u64) -> u64 {
    (shared.saturating_mul(own) / all).max(1)
}

impl ListenerCapacity {
    /// That of the shared gateway.
    pub(crate) const SHARED: Self = Self {
        connections: limits::MAX_CONNECTIONS,
        requests: limits::MAX_REQUESTS,
    };

    /// That of a dedicated gateway of which nothing else is said.
    pub(crate) const DEDICATED: Self = Self {
        connections: 2_048,
        requests: 256,
    };

    /// What it has where the shared gateway has so much for the sake of its requests.
    pub(super) fn by_requests(self, shared: u64) -> u64 {
        part(shared, self.requests, limits::MAX_REQUESTS)
    }

    /// What it has where the shared gateway has so much for the sake of its connections.
    pub(super) fn by_connections(self, shared: u64) -> u64 {
        part(shared, self.connections, limits::MAX_CONNECTIONS)
    }

    /// Connections of proven callers: a quarter is one principal's, a half one namespace's.
    pub(super) fn proven_connections(self) -> u64 {
        self.connections.min(limits::MAX_PROVEN_CONNECTIONS)
    }

    /// Bytes of answers where the shared gateway has so many.
    pub(super) fn answer_bytes(self, shared: u64) -> u64 {
        self.by_requests(shared).max(MIN_ANSWER_BYTES)
    }

    /// Bytes of memory of all connections without a proven caller.
    pub(super) fn unauthenticated_bytes(self) -> u64 {
        self.by_connections(limits::MAX_UNAUTHENTICATED_BYTES)
            .clamp(MIN_UNAUTHENTICATED_BYTES, limits::MAX_UNAUTHENTICATED_BYTES)
    }

    /// Tokens that the API server is asked about at the same time.
    pub(super) fn reviews(self) -> usize {
        usize::try_from(self.by_requests(limits::MAX_REVIEWS))
            .unwrap_or(usize::MAX)
            .max(MIN_REVIEWS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_part_is_as_large_as_at_the_shared_gateway() {
        let shared = ListenerCapacity::SHARED;
        assert_eq!(shared.by_requests(128), 128);
        assert_eq!(shared.by_connections(4_096), 4_096);
        assert_eq!(shared.proven_connections(), 4_096);
        assert_eq!(shared.answer_bytes(64 << 20), 64 << 20);
        assert_eq!(shared.unauthenticated_bytes(), 64 << 20);
        assert_eq!(shared.reviews(), 64);
        let dedicated = ListenerCapacity::DEDICATED;
        assert_eq!(dedicated.by_requests(limits::MAX_REQUESTS_PER_PRINCIPAL), 256 / 8);
        assert_eq!(dedicated.proven_connections(), 2_048);
        assert_eq!(dedicated.answer_bytes(limits::MAX_ANSWER_BYTES), 16 << 20);
        assert_eq!(
            dedicated.answer_bytes(limits::MAX_ANSWER_BYTES_PER_PRINCIPAL),
            8 << 20
        );
        assert_eq!(dedicated.unauthenticated_bytes(), 16 << 20);
        assert_eq!(dedicated.reviews(), 16);
        let least = ListenerCapacity {
            connections: 1,
            requests: 1,
        };
        assert_eq!((least.by_requests(128), least.reviews()), (1, 8));
        let most = ListenerCapacity {
            connections: 1 << 16,
            requests: 1 << 13,
        };
        assert_eq!(most.unauthenticated_bytes(), 64 << 20);
        assert_eq!(most.proven_connections(), 4_096, "each of them holds memory");
    }
}
