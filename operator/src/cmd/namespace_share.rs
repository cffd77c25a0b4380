//! What one namespace may have of the store, as the command line says it.

use strongroom_store::vault::Quota;

use super::audit_limits::ByteSize;

/// Of how many parts of the volume a namespace may have one, where nobody says otherwise.
const PART_OF_VOLUME: u64 = 5;

/// The share of one namespace.
#[derive(Clone, Copy, Debug, clap::Args)]
pub(super) struct NamespaceShare {
    /// Maximum number of secrets of one namespace, including those in recovery windows; 0: no limit. A
    /// namespace that is already above it when the limit is introduced may have what it has plus a tenth
    #[arg(long, value_name = "COUNT", default_value_t = 10_000)]
    namespace_secrets: u64,
    /// Maximum size of the secrets of one namespace, such as 500Mi, including those in recovery windows; 0:
    /// no limit; default: a fifth of the volume
    #[arg(long, value_name = "SIZE")]
    namespace_bytes: Option<ByteSize>,
}

impl NamespaceShare {
    /// The quota of a namespace on a volume of so many bytes, where its size is known.
    pub(super) fn quota(self, volume: Option<u64>) -> Quota {
        let or_no_end = |most: u64| if most == 0 { u64::MAX } else { most };
        let bytes = self.namespace_bytes.map(|size| or_no_end(size.bytes()));
        Quota {
            secrets: or_no_end(self.namespace_secrets),
            bytes: bytes
                .or(volume.map(|volume| volume / PART_OF_VOLUME))
                .unwrap_or(u64::MAX),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::Parser;

    use super::super::Arguments;

    fn quota(more: &[&str], file_system: Option<u64>) -> (u64, u64) {
        let line = ["strongroom", "serve"].iter().chain(more);
        let super::super::Command::Serve(arguments) = Arguments::try_parse_from(line).unwrap().command else {
            panic!("it is `serve`");
        };
        let quota = arguments
            .store
            .namespace_share
            .quota(arguments.store.audit_limits.volume(file_system));
        (quota.secrets, quota.bytes)
    }

    #[test]
    fn a_namespace_has_ten_thousand_secrets_and_a_fifth_of_the_volume() {
        let volume = "--volume-size=2Gi";
        assert_eq!(quota(&[volume], None), (10_000, (2 << 30) / 5));
        assert_eq!(
            quota(&[volume], Some(1 << 30)),
            (10_000, (1 << 30) / 5),
            "a smaller file system counts"
        );
        assert_eq!(quota(&[], None), (10_000, u64::MAX), "nothing is known of it");
        let said = ["--namespace-secrets=7", "--namespace-bytes=3Mi", volume];
        assert_eq!(quota(&said, None), (7, 3 << 20));
        let unbounded = ["--namespace-secrets=0", "--namespace-bytes=0", volume];
        assert_eq!(quota(&unbounded, None), (u64::MAX, u64::MAX));
    }
}
