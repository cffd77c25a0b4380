//! Copies of the read chain beside the backups: segment by segment, so that a disaster costs minutes of it.
//!
//! | module | idea |
//! |---|---|
//! | `segment_name` | what a copy is called: by its records, so that no chain takes another's place |
//! | `copier` | the task: what is new is sent and read back, the oldest first |
//! | `verification` | what lies there is proven with the public key |

mod copier;
mod segment_name;
mod verification;

pub(super) use self::copier::{CopyProgress, ReadCopier};
pub(crate) use self::verification::verify_reads;

/// The folder of the copies at a destination; each store has one in it.
const READS_FOLDER: &str = "reads";
