//! Where the store is.

use std::path::PathBuf;

/// The data directory, as every command names it.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct DataDir {
    /// Directory of the store
    #[arg(
        long,
        value_name = "PATH",
        env = "STRONGROOM_DATA_DIR",
        default_value = "/var/lib/strongroom"
    )]
    pub(crate) data_dir: PathBuf,
}

impl DataDir {
    /// The store's own directory. One below, because a store is put in its place by a rename, and the data
    /// directory is a mount.
    pub(crate) fn store(&self) -> PathBuf {
        self.data_dir.join("store")
    }
}
