//! A publish call, parsed once. A call that is refused here has changed no mount.

use std::collections::{BTreeMap, HashMap};
use std::path::{Component, Path, PathBuf};

use serde::Deserialize;
use strongroom_api::stream::Token;
use strongroom_render::attributes::{Attributes, TOKENS_ATTRIBUTE};
use zeroize::Zeroizing;

use super::PluginError;
use crate::pod::Pod;
use crate::proto::csi::volume_capability::AccessType;
use crate::proto::csi::{NodePublishVolumeRequest, VolumeCapability};

/// Longest id of a volume, in bytes, as CSI has it.
const MAX_ID_BYTES: usize = 128;

/// A publish call.
#[derive(Debug)]
pub struct PublishRequest {
    /// CSI's id of it, at most 128 bytes.
    pub volume_id: String,
    /// Where it is to appear.
    pub target: PathBuf,
    /// The pod's fsGroup.
    pub group: Option<u32>,
    /// What the pod asks for.
    pub attributes: Attributes,
    /// The same as text, for the state file.
    pub text: BTreeMap<String, String>,
    /// For whom kubelet mounts it, by `podInfoOnMount`.
    pub pod: Pod,
    /// The pod's token for the gateway.
    pub token: Option<Token>,
}

/// How calls are read.
#[derive(Clone, Debug)]
pub struct RequestParser {
    /// Volumes are published below this folder alone.
    pub targets: PathBuf,
    /// The audience of tokens.
    pub audience: String,
    /// Whether calls may lack all that Kubernetes adds, as csi-sanity's do.
    #[cfg(feature = "testing")]
    pub sanity: bool,
}

impl RequestParser {
    /// Parses a call.
    ///
    /// # Errors
    /// A [`PluginError`] with the code InvalidArgument.
    pub fn parse_publish(&self, mut call: NodePublishVolumeRequest) -> Result<PublishRequest, PluginError> {
        #[cfg(feature = "testing")]
        if self.sanity {
            without_kubernetes(&mut call);
        }
        let volume_id = volume_id(&call.volume_id)?;
        let target = self.target(&call.target_path)?;
        let group = group(call.volume_capability.as_ref())?;
        let text: BTreeMap<String, String> = std::mem::take(&mut call.volume_context).into_iter().collect();
        let attributes = Attributes::parse(&text)?;
        if !call.readonly {
            return Err(PluginError::Request(
                "the volume is not mounted read-only: write `readOnly: true` below `csi`",
            ));
        }
        Ok(PublishRequest {
            volume_id,
            target,
            group,
            attributes,
            pod: Pod::from_volume_context(&text),
            text: text.into_iter().filter(|(key, _)| !key.contains('/')).collect(),
            token: token(&self.audience, &call.secrets),
        })
    }

    /// A path that volumes are published on.
    ///
    /// # Errors
    /// Where it leads elsewhere.
    pub fn target(&self, text: &str) -> Result<PathBuf, PluginError> {
        if text.is_empty() {
            return Err(PluginError::Request("the target path is missing"));
        }
        let path = Path::new(text);
        let plain = path
            .components()
            .all(|part| matches!(part, Component::RootDir | Component::Normal(_)));
        let below = path.starts_with(&self.targets) && path != self.targets;
        if plain && below && !text.contains('\0') {
            Ok(path.components().collect())
        } else {
            Err(PluginError::Target(
                text.chars().take(200).filter(|c| !c.is_control()).collect(),
            ))
        }
    }
}

/// The id of a volume.
///
/// # Errors
/// Where there is none.
pub fn volume_id(text: &str) -> Result<String, PluginError> {
    if text.is_empty() {
        Err(PluginError::Request("the volume id is missing"))
    } else if text.len() > MAX_ID_BYTES {
        Err(PluginError::Request("the volume id is longer than 128 bytes"))
    } else {
        Ok(text.to_owned())
    }
}

fn group(capability: Option<&VolumeCapability>) -> Result<Option<u32>, PluginError> {
    let capability = capability.ok_or(PluginError::Request("the volume capability is missing"))?;
    match &capability.access_type {
        Some(AccessType::Mount(mount)) if mount.volume_mount_group.is_empty() => Ok(None),
        Some(AccessType::Mount(mount)) => match mount.volume_mount_group.parse() {
            // The last number means that there is no group.
            Ok(group) if group != u32::MAX => Ok(Some(group)),
            _ => Err(PluginError::Request("the volume mount group is not a group id")),
        },
        Some(AccessType::Block(_)) => Err(PluginError::Request(
            "a secret cannot be a block device: use volumeMounts",
        )),
        None => Err(PluginError::Request(
            "the volume capability says neither mount nor block",
        )),
    }
}

/// The pod's token for an audience, out of the request's secrets: what is in the attributes, the pod's author
/// can write.
fn token(audience: &str, secrets: &HashMap<String, String>) -> Option<Token> {
    #[derive(Deserialize)]
    struct Issued {
        token: String,
    }
    let mut issued: HashMap<String, Issued> = serde_json::from_str(secrets.get(TOKENS_ATTRIBUTE)?).ok()?;
    Token::new(Zeroizing::new(issued.remove(audience)?.token))
}

/// csi-sanity knows no pods: its volumes are of one secret, and it mounts them to write.
#[cfg(feature = "testing")]
fn without_kubernetes(call: &mut NodePublishVolumeRequest) {
    call.readonly = true;
    if call.volume_context.is_empty() {
        call.volume_context
            .insert("secrets".to_owned(), "sanity".to_owned());
    }
    call.secrets
        .entry(TOKENS_ATTRIBUTE.to_owned())
        .or_insert_with(|| {
            "{\"strongroom.dev\": {\"token\": \"sanity\", \"expirationTimestamp\": \"2100-01-01T00:00:00Z\"}}"
                .to_owned()
        });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proto::csi::volume_capability::{BlockVolume, MountVolume};

    fn parser() -> RequestParser {
        RequestParser {
            targets: "/var/lib/kubelet/pods".into(),
            audience: "strongroom.dev".into(),
            sanity: false,
        }
    }

    fn mounted(group: &str) -> VolumeCapability {
        VolumeCapability {
            access_type: Some(AccessType::Mount(MountVolume {
                volume_mount_group: group.into(),
                ..MountVolume::default()
            })),
            access_mode: None,
        }
    }

    fn call(change: impl FnOnce(&mut NodePublishVolumeRequest)) -> Result<PublishRequest, PluginError> {
        let tokens = r#"{"other": {"token": "o", "expirationTimestamp": "x"}, "strongroom.dev": {"token": "t", "expirationTimestamp": "x"}}"#;
        let mut call = NodePublishVolumeRequest {
            volume_id: "csi-1".into(),
            target_path: "/var/lib/kubelet/pods/u/volumes/kubernetes.io~csi/s/mount".into(),
            volume_capability: Some(mounted("2000")),
            readonly: true,
            secrets: HashMap::from([(TOKENS_ATTRIBUTE.into(), tokens.into())]),
            volume_context: HashMap::from([
                ("secrets".into(), "a".into()),
                ("csi.storage.k8s.io/pod.name".into(), "p".into()),
            ]),
        };
        change(&mut call);
        parser().parse_publish(call)
    }

    #[test]
    fn a_call_of_kubelet_is_read() {
        let request = call(|_| ()).unwrap();
        assert_eq!(request.group, Some(2_000));
        assert_eq!(request.pod.name, "p");
        assert_eq!(
            request.token.map(|token| token.expose().to_owned()).as_deref(),
            Some("t")
        );
        assert_eq!(request.text, BTreeMap::from([("secrets".into(), "a".into())]));
        assert_eq!(
            call(|call| call.volume_capability = Some(mounted("")))
                .unwrap()
                .group,
            None
        );
        for secrets in ["", "{}", "{\"other\": {\"token\": \"t\"}}", "no json"] {
            let request =
                call(|call| _ = call.secrets.insert(TOKENS_ATTRIBUTE.into(), secrets.into())).unwrap();
            assert!(request.token.is_none(), "{secrets}");
        }
    }

    #[test]
    fn what_is_wrong_is_an_invalid_argument() {
        let block = VolumeCapability {
            access_type: Some(AccessType::Block(BlockVolume {})),
            access_mode: None,
        };
        let refused = |said: &str, change: &dyn Fn(&mut NodePublishVolumeRequest)| {
            let error = call(|call| change(call)).expect_err(said);
            assert_eq!(error.code(), tonic::Code::InvalidArgument, "{error}");
            assert!(error.to_string().contains(said), "{error}");
        };
        refused("volume id", &|call| call.volume_id.clear());
        refused("128", &|call| call.volume_id = "x".repeat(129));
        refused("readOnly: true", &|call| call.readonly = false);
        refused("capability is missing", &|call| call.volume_capability = None);
        refused("block device", &|call| {
            call.volume_capability = Some(block.clone())
        });
        refused("group", &|call| call.volume_capability = Some(mounted("-1")));
        refused("group", &|call| {
            call.volume_capability = Some(mounted("4294967295"))
        });
        refused("accepted only from kubelet", &|call| {
            call.volume_context.insert(TOKENS_ATTRIBUTE.into(), "{}".into());
        });
        for target in [
            "/etc",
            "/var/lib/kubelet/pods",
            "/var/lib/kubelet/pods/../../../etc",
            "/var/lib/kubelet/podsx/a",
            "var/lib/kubelet/pods/a",
        ] {
            refused("not below", &|call| call.target_path = target.into());
        }
        refused("missing", &|call| call.target_path.clear());
    }
}
