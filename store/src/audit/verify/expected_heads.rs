//! What mutation records saw of the read chain, in the order of the read chain.

use std::collections::VecDeque;

use super::super::ReadHead;

/// Places that the read chain must hold.
#[derive(Debug, Default)]
pub(super) struct ExpectedHeads(VecDeque<ReadHead>);

impl ExpectedHeads {
    /// Notes the place up to which the read chain was cut; comes before all that is seen.
    pub(super) fn start_at(&mut self, reads: ReadHead) {
        if reads != ReadHead::default() {
            self.0.push_back(reads);
        }
    }

    /// Notes what the next mutation record saw. `false`: it is less than the one before saw.
    pub(super) fn push(&mut self, reads: ReadHead) -> bool {
        if self.0.back() == Some(&reads) || reads == ReadHead::default() && self.0.is_empty() {
            return true;
        }
        let last = self.0.back().map_or(0, |last| last.sequence);
        if reads.sequence <= last {
            return false;
        }
        self.0.push_back(reads);
        true
    }

    /// Whether the read chain's next record is what was seen there, if anybody looked.
    pub(super) fn matches(&mut self, record: ReadHead) -> bool {
        while let Some(link) = self.0.front().copied()
            && link.sequence <= record.sequence
        {
            self.0.pop_front();
            if link != record {
                return false;
            }
        }
        true
    }

    /// Forgets places before `sequence`, which a signed gap says are lost.
    pub(super) fn lost_before(&mut self, sequence: u64) {
        while self.0.front().is_some_and(|link| link.sequence < sequence) {
            self.0.pop_front();
        }
    }

    /// The last place that was seen and not found yet.
    pub(super) fn outstanding(&self) -> Option<u64> {
        self.0.back().map(|link| link.sequence)
    }
}
