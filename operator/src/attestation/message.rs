//! What the webhook hands over of a change that the API server is about to make. It holds no value of the
//! object, only a digest of what the object declares. The digest may be the hash of a value, so it is sent
//! over a connection that is authenticated on both ends, and is keyed before it is stored.

use std::fmt;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};
use strongroom_model::name::{ExternalId, NameError, NamespaceName};
use strongroom_rules::declaration::Digest;
use strongroom_store::audit::{Author, MAX_GROUPS};
use strongroom_store::vault::{Attest, AttestationId, ObjectChange, ObjectDigest};

/// Where it is handed over.
pub(crate) const ATTESTATIONS_PATH: &str = "/attestations";
/// Longest name of a user or group that is handed over, in bytes. Longer names are cut in the audit log as
/// well.
const MAX_NAME_BYTES: usize = 256;

/// What becomes of an object, as the API server calls it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(crate) enum AdmissionOperation {
    Create,
    Update,
    Delete,
}

/// A change that is about to be made.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct AttestationMessage {
    /// `metadata.uid` of the object.
    pub(crate) uid: String,
    /// Its namespace; of a Namespace, or another object of the cluster, its name.
    pub(crate) namespace: String,
    pub(crate) operation: AdmissionOperation,
    /// Of what it declares then, or did last; hexadecimal.
    digest: String,
    pub(crate) user: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    user_uid: String,
}

/// The digest is the hash of what may be a value.
impl fmt::Debug for AttestationMessage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AttestationMessage")
            .field("uid", &self.uid)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}

/// What was handed over is nothing that anybody could mean.
#[derive(Debug, thiserror::Error)]
pub(crate) enum MessageError {
    #[error(transparent)]
    Name(#[from] NameError),
    #[error("the digest is invalid")]
    Digest,
    #[error("it names no user")]
    Nobody,
}

impl AttestationMessage {
    pub(crate) fn new(
        (namespace, uid): (String, String),
        operation: AdmissionOperation,
        digest: &Digest,
        (user, user_uid, groups): (&str, &str, &[String]),
    ) -> Self {
        Self {
            uid,
            namespace,
            operation,
            digest: HEXLOWER.encode(digest.bytes()),
            user: cut(user),
            groups: groups.iter().take(MAX_GROUPS).map(|group| cut(group)).collect(),
            user_uid: cut(user_uid),
        }
    }

    /// As the store keeps it, in the place of `forget`.
    ///
    /// # Errors
    /// [`MessageError`].
    pub(crate) fn attest(self, forget: Vec<AttestationId>) -> Result<Attest, MessageError> {
        let digest = HEXLOWER
            .decode(self.digest.as_bytes())
            .ok()
            .and_then(|digest| digest.try_into().ok())
            .ok_or(MessageError::Digest)?;
        if self.user.is_empty() {
            return Err(MessageError::Nobody);
        }
        Ok(Attest {
            uid: ExternalId::new(&self.uid)?,
            namespace: NamespaceName::new(&self.namespace)?,
            change: match self.operation {
                AdmissionOperation::Create | AdmissionOperation::Update => ObjectChange::Written,
                AdmissionOperation::Delete => ObjectChange::Deleted,
            },
            digest: ObjectDigest(digest),
            author: Author {
                user: self.user,
                groups: self.groups,
                uid: self.user_uid,
            },
            forget,
        })
    }
}

fn cut(text: &str) -> String {
    let end = text.floor_char_boundary(MAX_NAME_BYTES);
    text.get(..end).unwrap_or_default().to_owned()
}

#[cfg(test)]
mod tests {
    use serde_json::json;
    use strongroom_rules::declaration::DeclarationScope;

    use super::*;

    #[test]
    fn what_is_handed_over_comes_through_and_is_bounded() {
        let digest = Digest::from_object(DeclarationScope::All, &json!({"spec": {"a": 1}}));
        let groups = vec!["g".repeat(300); 40];
        let place = || ("shop".to_owned(), "u-1".to_owned());
        let handed = AttestationMessage::new(
            place(),
            AdmissionOperation::Delete,
            &digest,
            ("jane", "", &groups),
        );
        let text = serde_json::to_vec(&handed).unwrap();
        assert!(text.len() < 8_192, "{}", text.len());
        let read: AttestationMessage = serde_json::from_slice(&text).unwrap();
        let attest = read.attest(Vec::new()).unwrap();
        assert_eq!(attest.digest.0, *digest.bytes());
        assert_eq!(
            (attest.change, attest.uid.as_str()),
            (ObjectChange::Deleted, "u-1")
        );
        assert_eq!(attest.author.user, "jane");
        assert_eq!(
            (attest.author.groups.len(), attest.author.groups[0].len()),
            (16, 256)
        );
        assert!(!format!("{handed:?}").contains(&handed.digest));
    }

    #[test]
    fn nonsense_is_refused() {
        let digest = "00".repeat(32);
        let handed = |uid: &str, namespace: &str, digest: &str, user: &str| AttestationMessage {
            uid: uid.to_owned(),
            namespace: namespace.to_owned(),
            operation: AdmissionOperation::Create,
            digest: digest.to_owned(),
            user: user.to_owned(),
            groups: Vec::new(),
            user_uid: String::new(),
        };
        assert!(handed("u", "shop", &digest, "jane").attest(Vec::new()).is_ok());
        for (uid, namespace, digest, user) in [
            ("", "shop", digest.as_str(), "jane"),
            ("u", "NOT A NAME", &digest, "jane"),
            ("u", "shop", "00", "jane"),
            ("u", "shop", &"zz".repeat(32), "jane"),
            ("u", "shop", &digest, ""),
        ] {
            assert!(handed(uid, namespace, digest, user).attest(Vec::new()).is_err());
        }
    }
}
