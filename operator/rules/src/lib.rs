//! Decisions: pure functions of facts and time.
