//! A store under a new root key: every record is sealed anew into a new file, both audit chains are sealed
//! and signed anew beside the old ones, and the seal file with the new slots puts all of it into force.
//!
//! | files | idea |
//! |---|---|
//! | `options` | what is asked, what is told, what comes of it |
//! | `run` | the order: write, prove, switch, end |
//! | `records` | the records, each in its place of the new file |
//! | `chains` | both audit chains, and the signed record that leads from one audit key to the next |
//! | `settle` | the renames behind the switch, also after a process was killed in the midst |
//!
//! INVARIANT: the write of the seal file is the switch. Before it nothing that counts was changed; after it
//! the former root key opens nothing that counts. Killed at any instant, the next start finds one of the two,
//! ends the switch or removes what was made for it.

mod chains;
mod options;
mod records;
mod run;
mod settle;

pub use options::{RekeyOptions, RekeyReport, RekeyStep};
pub use run::rekey;
pub(super) use settle::settle;
