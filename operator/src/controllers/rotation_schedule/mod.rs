//! `RotationSchedule`: says which `ManagedSecret`s it rotates and when. The rotation itself is a step of the
//! `ManagedSecret`, so that one secret has one writer.

mod events;
mod reconcile;
mod status;
pub(super) mod watch;

#[cfg(test)]
mod tests;
