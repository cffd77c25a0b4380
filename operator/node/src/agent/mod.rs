//! A volume's secrets over HTTP on a Unix socket inside of the volume, for programs that are used to asking a
//! secrets agent on their machine.
//!
//! ```text
//! pod ─▶ socket ─▶ query (pure) ─▶ answer (pure) ◀─ volume_snapshot ◀─ the volume, whenever its files change
//! ```
//!
//! Whoever may open the socket may read the volume: the kernel has decided that by the mount and the socket's
//! mode, so there is no token. What is answered is what the volume's files are made of, out of memory, and
//! nothing else. Requests and answers are those of AWS' agent
//! (<https://github.com/aws/aws-secretsmanager-agent>), which others follow. Must not ask the gateway, and
//! must not log a request.

mod answer;
mod error;
mod query;
mod serve;
mod socket;
mod stage;
mod volume_snapshot;

pub use socket::{BoundSocket, SOCKET, VolumeSocket, VolumeSocketError, bind, is_there};
pub use volume_snapshot::VolumeSnapshot;
