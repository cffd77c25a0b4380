//! Where the key of a seal slot comes from: a file, a passphrase in a file, or a Kubernetes Secret.
//!
//! A key never comes by argument or environment: both can be read by others of the machine. The environment
//! may name where it is, for every command that is run in the pod; an argument counts more. Must not know the
//! store.

pub(crate) mod file;
pub(crate) mod kubernetes;

use std::ffi::OsString;
use std::path::PathBuf;

use strongroom_store::seal::{SlotKind, SlotSecret};

use crate::kube::in_words;

/// The arguments that name a slot's key; at most one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, clap::Args)]
#[group(id = "seal", multiple = false)]
pub(crate) struct SealArgs {
    /// File with the 32 bytes that open the seal; without any --seal-… the variable STRONGROOM_SEAL_KEY_FILE
    /// names it
    #[arg(long, value_name = "PATH")]
    pub(crate) seal_key_file: Option<PathBuf>,
    /// File with the passphrase that opens the seal; or STRONGROOM_SEAL_PASSPHRASE_FILE
    #[arg(long, value_name = "PATH")]
    pub(crate) seal_passphrase_file: Option<PathBuf>,
    /// File with the recovery key that opens the seal
    #[arg(long, value_name = "PATH")]
    pub(crate) seal_recovery_key_file: Option<PathBuf>,
    /// Kubernetes Secret of the process's own namespace that opens the seal; or
    /// STRONGROOM_SEAL_KUBERNETES_SECRET
    #[arg(long, value_name = "NAME")]
    pub(crate) seal_kubernetes_secret: Option<String>,
}

impl SealArgs {
    /// The one that was given, or else the one that the environment names.
    pub(crate) fn source(&self) -> Option<SealSource> {
        self.source_with(|name| std::env::var_os(name))
    }

    fn source_with(&self, environment: impl Fn(&str) -> Option<OsString>) -> Option<SealSource> {
        let named = |name| environment(name).filter(|value| !value.is_empty());
        let path = |name| named(name).map(PathBuf::from);
        None.or_else(|| self.seal_key_file.clone().map(SealSource::KeyFile))
            .or_else(|| self.seal_passphrase_file.clone().map(SealSource::PassphraseFile))
            .or_else(|| {
                self.seal_recovery_key_file
                    .clone()
                    .map(SealSource::RecoveryKeyFile)
            })
            .or_else(|| {
                self.seal_kubernetes_secret
                    .clone()
                    .map(SealSource::KubernetesSecret)
            })
            .or_else(|| path("STRONGROOM_SEAL_KEY_FILE").map(SealSource::KeyFile))
            .or_else(|| path("STRONGROOM_SEAL_PASSPHRASE_FILE").map(SealSource::PassphraseFile))
            .or_else(|| {
                named("STRONGROOM_SEAL_KUBERNETES_SECRET")
                    .and_then(|name| name.into_string().ok())
                    .map(SealSource::KubernetesSecret)
            })
    }
}

/// Where a slot's key is.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum SealSource {
    /// A file of 32 bytes.
    KeyFile(PathBuf),
    /// A file with a passphrase.
    PassphraseFile(PathBuf),
    /// A file with a recovery key as it was shown.
    RecoveryKeyFile(PathBuf),
    /// A Secret of the process's own namespace.
    KubernetesSecret(String),
}

impl SealSource {
    /// The kind of slot that it opens.
    pub(crate) const fn kind(&self) -> SlotKind {
        match self {
            Self::KeyFile(_) => SlotKind::KeyFile,
            Self::PassphraseFile(_) => SlotKind::Passphrase,
            Self::RecoveryKeyFile(_) => SlotKind::Recovery,
            Self::KubernetesSecret(_) => SlotKind::KubernetesSecret,
        }
    }

    /// The key, from where it is. A Secret is looked for in the namespace that this process lives in.
    pub(crate) async fn read(&self) -> Result<SlotSecret, SealSourceError> {
        match self {
            Self::KeyFile(path) => file::key(path),
            Self::PassphraseFile(path) => file::passphrase(path),
            Self::RecoveryKeyFile(path) => file::recovery_key(path),
            Self::KubernetesSecret(name) => {
                let (client, namespace) = kubernetes::own_namespace().await?;
                kubernetes::read(&client, &namespace, name)
                    .await?
                    .ok_or_else(|| SealSourceError::NoSecret(name.clone()))
            }
        }
    }
}

/// A slot's key cannot be had. Never holds a byte of it.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SealSourceError {
    /// None was named.
    #[error(
        "name the key that opens the seal: --seal-key-file, --seal-passphrase-file, --seal-recovery-key-file or --seal-kubernetes-secret"
    )]
    Unnamed,
    /// The file cannot be read.
    #[error("the file `{path}` cannot be read: {source}")]
    Unreadable {
        /// Which file.
        path: String,
        source: std::io::Error,
    },
    /// The file is too large for what it should hold.
    #[error("the file `{0}` is larger than 4 KiB; it is neither a key nor a passphrase")]
    TooLarge(String),
    /// The file holds something else.
    #[error("the file `{path}` contains no recovery key: {source}")]
    Recovery {
        /// Which file.
        path: String,
        source: strongroom_store::seal::RecoveryKeyError,
    },
    /// There is no such Secret.
    #[error(
        "there is no Secret `{0}` with the key of the seal; restore it from your backup of the cluster, or open with a recovery key \
         (--seal-recovery-key-file)"
    )]
    NoSecret(String),
    /// The Secret holds something else.
    #[error("the Secret `{0}` does not have 32 bytes under `{key}`; it was not created by strongroom", key = kubernetes::DATA_KEY)]
    NotAKey(String),
    /// Somebody else made one of that name.
    #[error("there is a Secret `{0}` already; choose another name, or remove it if nothing needs it")]
    SecretExists(String),
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes; check that /dev/urandom works")]
    NoRandomness,
    /// The API server.
    #[error("the Secret of the seal: {}", in_words(.0))]
    Kube(#[from] Box<kube::Error>),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_given_counts_more_than_the_environment() {
        let pod = |name: &str| (name == "STRONGROOM_SEAL_KUBERNETES_SECRET").then(|| OsString::from("root"));
        let nothing = SealArgs::default();
        let root = SealSource::KubernetesSecret("root".to_owned());
        assert_eq!(nothing.source_with(pod), Some(root));
        let given = SealArgs {
            seal_recovery_key_file: Some("/key".into()),
            ..SealArgs::default()
        };
        let recovery = SealSource::RecoveryKeyFile("/key".into());
        assert_eq!(given.source_with(pod), Some(recovery));
        assert_eq!(nothing.source_with(|_| None), None);
        assert_eq!(nothing.source_with(|_| Some(OsString::new())), None);
        let file = |name: &str| (name == "STRONGROOM_SEAL_KEY_FILE").then(|| OsString::from("/key"));
        assert_eq!(
            nothing.source_with(file),
            Some(SealSource::KeyFile("/key".into()))
        );
    }
}
