//! Where backups go, as the command line and the chart say it.
//!
//! It is read by hand, as the audit sinks are: file paths in its query are no percent-encoding.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

/// The region of a bucket that has none: servers of S3 at home take this one.
const DEFAULT_REGION: &str = "us-east-1";

/// The forms of a destination, for help and errors.
pub(super) const FORMS: &str = "`folder:/PATH`, `s3+https://HOST:PORT/BUCKET/PREFIX?ca=/PATH&credentials=/FOLDER&region=REGION`, or on this \
     host `s3+http://127.0.0.1:PORT/BUCKET?credentials=/FOLDER`";

/// Where backups go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BackupDestination {
    /// A folder that exists, such as a mounted volume.
    Folder(PathBuf),
    /// Objects of a server that speaks the protocol of S3.
    Bucket(BucketLocation),
}

/// A bucket that speaks the protocol of S3.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct BucketLocation {
    /// Over TLS; in clear on this host alone.
    pub(super) tls: bool,
    /// Host and port.
    pub(super) place: String,
    /// Name of the bucket, which is the first part of each path.
    pub(super) bucket: String,
    /// What the names of the objects begin with; empty: nothing.
    pub(super) prefix: String,
    /// The region that requests are signed for.
    pub(super) region: String,
    /// The authority that signed the server's certificate, in PEM.
    pub(super) authority: Option<PathBuf>,
    /// Folder with the files `access-key-id` and `secret-access-key`, as a mounted Secret has them.
    pub(super) credentials: PathBuf,
}

/// A text that names no destination.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum BackupDestinationError {
    /// It is of no known form.
    #[error("`{0}` names no destination of backups; use {FORMS}")]
    Unknown(String),
    /// Credentials would leave the host in clear.
    #[error("`{0}` would send backups in clear; use `s3+https`, or an address of this host")]
    Clear(String),
}

impl FromStr for BackupDestination {
    type Err = BackupDestinationError;

    fn from_str(text: &str) -> Result<Self, BackupDestinationError> {
        let unknown = || BackupDestinationError::Unknown(text.to_owned());
        if let Some(path) = text.strip_prefix("folder:") {
            let path = Path::new(path);
            return if path.is_absolute() {
                Ok(Self::Folder(path.to_owned()))
            } else {
                Err(unknown())
            };
        }
        let (tls, rest) = match text.strip_prefix("s3+https://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("s3+http://").ok_or_else(unknown)?),
        };
        let location = bucket(tls, rest).ok_or_else(unknown)?;
        if !tls && !is_this_host(&location.place) {
            return Err(BackupDestinationError::Clear(text.to_owned()));
        }
        Ok(Self::Bucket(location))
    }
}

fn bucket(tls: bool, rest: &str) -> Option<BucketLocation> {
    let (rest, query) = rest.split_once('?')?;
    let (mut authority, mut credentials, mut region) = (None, None, DEFAULT_REGION);
    for pair in query.split('&') {
        match pair.split_once('=')? {
            ("ca", path) => authority = Some(PathBuf::from(path)),
            ("credentials", path) => credentials = Some(PathBuf::from(path)),
            ("region", name) => region = name,
            _ => return None,
        }
    }
    let (place, path) = rest.split_once('/')?;
    let (host, port) = place.rsplit_once(':')?;
    let (bucket, prefix) = path.split_once('/').unwrap_or((path, ""));
    let plain = |text: &str| {
        text.bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"-._/[]:".contains(&byte))
    };
    let well_formed = !host.is_empty()
        && port.parse::<u16>().is_ok()
        && !bucket.is_empty()
        && !region.is_empty()
        && [place, path, region].into_iter().all(plain)
        && tls == authority.is_some();
    well_formed.then_some(())?;
    Some(BucketLocation {
        tls,
        place: place.to_owned(),
        bucket: bucket.to_owned(),
        prefix: prefix.trim_matches('/').to_owned(),
        region: region.to_owned(),
        authority,
        credentials: credentials?,
    })
}

/// Whether it is an address of this host: a name may lead anywhere.
fn is_this_host(place: &str) -> bool {
    let host = place.rsplit_once(':').map_or(place, |(host, _)| host);
    let host = host.trim_start_matches('[').trim_end_matches(']');
    host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Without its options.
impl fmt::Display for BackupDestination {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Folder(path) => write!(f, "folder:{}", path.display()),
            Self::Bucket(location) => location.fmt(f),
        }
    }
}

impl fmt::Display for BucketLocation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.tls { "s3+https" } else { "s3+http" };
        write!(f, "{scheme}://{}/{}", self.place, self.bucket)?;
        if !self.prefix.is_empty() {
            write!(f, "/{}", self.prefix)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_as_they_are_written() {
        for (text, shown) in [
            ("folder:/var/lib/backups", "folder:/var/lib/backups"),
            (
                "s3+https://s3.example.com:443/backups/prod/a/?ca=/ca.crt&credentials=/etc/s3&region=eu-1",
                "s3+https://s3.example.com:443/backups/prod/a",
            ),
            (
                "s3+http://127.0.0.1:9000/backups?credentials=/etc/s3",
                "s3+http://127.0.0.1:9000/backups",
            ),
            (
                "s3+http://[::1]:9000/backups?credentials=/etc/s3",
                "s3+http://[::1]:9000/backups",
            ),
        ] {
            let destination: BackupDestination = text.parse().unwrap();
            assert_eq!(destination.to_string(), shown);
        }
        for text in [
            "",
            "/var/lib/backups",
            "folder:relative",
            "s3://bucket",
            "s3+https://s3:443/b?credentials=/c",
            "s3+https://s3:443/b?ca=/ca",
            "s3+https://s3/b?ca=/ca&credentials=/c",
            "s3+https://s3:443/?ca=/ca&credentials=/c",
            "s3+https://user:word@s3:443/b?ca=/ca&credentials=/c",
            "s3+https://s3:443/b?ca=/ca&credentials=/c&colour=red",
            "s3+https://s3:443/b c?ca=/ca&credentials=/c",
            "s3+http://127.0.0.1:9000/b",
            "s3+http://127.0.0.1:70000/b?credentials=/c",
        ] {
            let wrong = text.parse::<BackupDestination>();
            assert!(
                matches!(wrong, Err(BackupDestinationError::Unknown(_))),
                "{text}: {wrong:?}"
            );
        }
        for text in [
            "s3+http://10.0.0.1:9000/b?credentials=/c",
            "s3+http://localhost:9000/b?credentials=/c",
        ] {
            let wrong = text.parse::<BackupDestination>();
            assert!(
                matches!(wrong, Err(BackupDestinationError::Clear(_))),
                "{text}: {wrong:?}"
            );
        }
    }
}
