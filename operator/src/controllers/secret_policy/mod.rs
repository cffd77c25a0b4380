//! `SecretPolicy`: has the store keep what is in force of it, and says what became of it (`reconcile`). Its
//! statements took effect before ([`watch`]), those with principals of RAM for whom these stand for
//! ([`mod@ram_directory`]).

mod events;
pub(super) mod keep;
mod pace;
mod pending;
mod principals;
pub(super) mod ram_directory;
mod reconcile;
#[cfg(test)]
mod tests;
pub(super) mod watch;

pub(crate) use self::pace::WritePace;
