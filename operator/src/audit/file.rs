//! Audit records in a file, one JSON object a line, durable before they count as delivered. A file that has
//! reached its size is renamed to `.1`, `.1` to `.2` and so on; the oldest is deleted.

use std::io;
use std::path::{Path, PathBuf};

use futures::future::BoxFuture;
use tokio::fs::{self, OpenOptions};
use tokio::io::AsyncWriteExt;

use super::destination::Destination;
use super::line::json_lines;
use super::one_write::OneWrite;
use super::sink::{Batch, Sink, SinkError};
use super::sink_kind::{FormError, SinkKind};

/// How it is named.
pub(super) const KIND: SinkKind = SinkKind::Configured {
    form: "file:/PATH",
    local_form: None,
    parse: |text| text.strip_prefix("file:").map(destination),
};

fn destination(path: &str) -> Result<Destination, FormError> {
    if !path.starts_with('/') {
        return Err(FormError::Malformed);
    }
    let path = PathBuf::from(path);
    Ok(Destination::new(format!("file:{}", path.display()), move || {
        FileSink {
            file: File::new(path.clone()),
            write: OneWrite::default(),
        }
    }))
}

/// Bytes after which a file is renamed.
const MAX_FILE_BYTES: u64 = 64 << 20;
/// Files that are kept beside the newest.
const MAX_ROTATED_FILES: u32 = 8;

/// Records on their way to a file.
#[derive(Debug)]
struct FileSink {
    file: File,
    write: OneWrite,
}

/// A file that is rotated.
#[derive(Clone, Debug)]
struct File {
    path: PathBuf,
    largest: u64,
}

impl File {
    const fn new(path: PathBuf) -> Self {
        Self {
            path,
            largest: MAX_FILE_BYTES,
        }
    }

    async fn append(&self, lines: &[u8]) -> io::Result<()> {
        let written = match fs::metadata(&self.path).await {
            Ok(found) => found.len(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => 0,
            Err(error) => return Err(error),
        };
        if written > 0 && written.saturating_add(lines.len() as u64) > self.largest {
            self.rotate().await?;
        }
        let mut file = OpenOptions::new()
            .create(true)
            .append(true)
            .mode(0o600)
            .open(&self.path)
            .await?;
        let before = file.metadata().await?.len();
        let done = async {
            file.write_all(lines).await?;
            file.sync_data().await
        };
        let done = done.await;
        if done.is_err() {
            // All lines come again: what stands there of them would be there twice, and the last one maybe
            // half.
            let _ = file.set_len(before).await;
        }
        done
    }

    async fn rotate(&self) -> io::Result<()> {
        for number in (1..MAX_ROTATED_FILES).rev() {
            moved(&self.numbered(number), &self.numbered(number + 1)).await?;
        }
        moved(&self.path, &self.numbered(1)).await
    }

    fn numbered(&self, number: u32) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(format!(".{number}"));
        path.into()
    }
}

impl Sink for FileSink {
    fn deliver<'a>(&'a mut self, batch: Batch<'a>) -> BoxFuture<'a, Result<(), SinkError>> {
        let (file, lines) = (self.file.clone(), json_lines(batch.lines));
        let append = async move { file.append(&lines).await };
        Box::pin(async move { self.write.run(append).await.map_err(SinkError::Io) })
    }
}

async fn moved(from: &Path, to: &Path) -> io::Result<()> {
    match fs::rename(from, to).await {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        done => done,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_file_that_has_grown_makes_room_and_the_oldest_goes() {
        let keep = tempfile::tempdir().unwrap();
        let path = keep.path().join("audit.json");
        let file = File {
            path: path.clone(),
            largest: 10,
        };
        for number in 0..12 {
            file.append(format!("line {number:02}\n").as_bytes())
                .await
                .unwrap();
        }
        let read = |name: &str| std::fs::read_to_string(keep.path().join(name)).ok();
        assert_eq!(read("audit.json").as_deref(), Some("line 11\n"));
        assert_eq!(read("audit.json.1").as_deref(), Some("line 10\n"));
        assert_eq!(read("audit.json.8").as_deref(), Some("line 03\n"));
        assert_eq!(read("audit.json.9"), None);
        let mode = std::os::unix::fs::PermissionsExt::mode(&std::fs::metadata(&path).unwrap().permissions());
        assert_eq!(mode & 0o777, 0o600);
        // A folder that is not there is an error, and nothing else.
        let nowhere = File::new(keep.path().join("no/audit.json"));
        assert!(nowhere.append(b"x\n").await.is_err());
    }
}
