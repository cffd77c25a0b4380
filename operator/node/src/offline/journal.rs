//! What was served without a gateway, until the gateway has audited it. On the node's disk, so that it
//! outlives plugin and node. Holds no value.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Write};
use std::path::{Path, PathBuf};

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

/// The file, in the journal's folder.
const FILE: &str = "journal";
/// The file until it is whole.
const PARTIAL: &str = "journal.partial";

/// One secret of one volume that was served.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Entry {
    /// Counts this node's entries from 1, without gaps.
    pub sequence: u64,
    /// The boot in which it was.
    pub boot_id: String,
    /// When, in seconds since the Unix epoch by the node's clock.
    pub at: i64,
    /// CSI's id of the volume.
    pub volume: String,
    /// The pod's namespace.
    pub namespace: String,
    /// The pod's name.
    pub pod: String,
    /// The pod's `metadata.uid`.
    pub pod_uid: String,
    /// Its ServiceAccount.
    pub account: String,
    /// The ServiceAccount's `metadata.uid`; empty where no token said it.
    pub account_uid: String,
    /// The secret: 16 bytes in hexadecimal digits.
    pub secret_id: String,
    /// Id of the version that was served.
    pub version_id: String,
}

/// The first line of the file.
#[derive(Debug, Serialize, Deserialize)]
struct JournalHeader {
    /// The last sequence that is audited at the gateway.
    taken: u64,
}

/// The journal cannot be read or written.
#[derive(Debug, thiserror::Error)]
#[error("the journal of what was served offline, {}: {source}", path.display())]
pub struct JournalError {
    path: PathBuf,
    source: io::Error,
}

#[derive(Debug)]
struct State {
    taken: u64,
    entries: Vec<Entry>,
}

/// What was served without a gateway, on disk until the gateway has audited it.
#[derive(Debug)]
pub struct Journal {
    folder: PathBuf,
    state: Mutex<State>,
}

impl Journal {
    /// Opens the journal in a folder, which is made where it is not there. A last line that is not whole was
    /// never answered for, and goes.
    ///
    /// # Errors
    /// [`JournalError`].
    pub fn open(folder: &Path) -> Result<Self, JournalError> {
        let journal = Self {
            folder: folder.to_owned(),
            state: Mutex::new(State {
                taken: 0,
                entries: Vec::new(),
            }),
        };
        journal.trying(|| {
            fs::create_dir_all(folder)?;
            let state = match File::open(folder.join(FILE)) {
                Ok(file) => read(file)?,
                Err(error) if error.kind() == io::ErrorKind::NotFound => State {
                    taken: 0,
                    entries: Vec::new(),
                },
                Err(error) => return Err(error),
            };
            rewrite(folder, &state)?;
            *journal.state.lock() = state;
            Ok(())
        })?;
        Ok(journal)
    }

    fn trying<T>(&self, work: impl FnOnce() -> io::Result<T>) -> Result<T, JournalError> {
        work().map_err(|source| JournalError {
            path: self.folder.join(FILE),
            source,
        })
    }

    /// Writes entries; their sequences are given here. They are on disk when this returns.
    ///
    /// # Errors
    /// [`JournalError`]; then nothing may be served.
    pub fn write(&self, entries: Vec<Entry>) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        let last = state.entries.last().map_or(state.taken, |last| last.sequence);
        let mut text = Vec::new();
        let mut new = Vec::with_capacity(entries.len());
        for (sequence, entry) in (last + 1..).zip(entries) {
            let entry = Entry { sequence, ..entry };
            serde_json::to_writer(&mut text, &entry).map_err(|error| JournalError {
                path: self.folder.join(FILE),
                source: error.into(),
            })?;
            text.push(b'\n');
            new.push(entry);
        }
        let path = self.folder.join(FILE);
        let written = self.trying(|| {
            let mut file = File::options().append(true).open(&path)?;
            file.write_all(&text)?;
            file.sync_data()
        });
        if written.is_err() {
            // What of it arrived must not stand before what comes next.
            self.trying(|| rewrite(&self.folder, &state))?;
        }
        written?;
        state.entries.extend(new);
        Ok(())
    }

    /// The oldest entries that are not audited at the gateway.
    #[must_use]
    pub fn pending(&self, most: usize) -> Vec<Entry> {
        let state = self.state.lock();
        state.entries.iter().take(most).cloned().collect()
    }

    /// Those up to this sequence are audited.
    ///
    /// # Errors
    /// [`JournalError`]; they are told again then.
    pub fn acknowledge(&self, sequence: u64) -> Result<(), JournalError> {
        let mut state = self.state.lock();
        // A gateway that answers for what was never said is not believed.
        let last = state.entries.last().map_or(state.taken, |last| last.sequence);
        let taken = sequence.min(last).max(state.taken);
        let left = State {
            taken,
            entries: state
                .entries
                .iter()
                .filter(|entry| entry.sequence > taken)
                .cloned()
                .collect(),
        };
        self.trying(|| rewrite(&self.folder, &left))?;
        *state = left;
        Ok(())
    }
}

fn read(file: File) -> io::Result<State> {
    let mut lines = BufReader::new(file).split(b'\n');
    let head = lines.next().transpose()?.unwrap_or_default();
    let head: JournalHeader = serde_json::from_slice(&head)?;
    let mut state = State {
        taken: head.taken,
        entries: Vec::new(),
    };
    for line in lines {
        let Ok(entry) = serde_json::from_slice::<Entry>(&line?) else {
            break;
        };
        state.entries.push(entry);
    }
    Ok(state)
}

fn rewrite(folder: &Path, state: &State) -> io::Result<()> {
    let mut text = serde_json::to_vec(&JournalHeader { taken: state.taken })?;
    text.push(b'\n');
    for entry in &state.entries {
        serde_json::to_writer(&mut text, entry)?;
        text.push(b'\n');
    }
    let partial = folder.join(PARTIAL);
    let mut file = File::create(&partial)?;
    file.write_all(&text)?;
    file.sync_all()?;
    fs::rename(&partial, folder.join(FILE))?;
    File::open(folder)?.sync_all()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(volume: &str) -> Entry {
        Entry {
            volume: volume.to_owned(),
            ..Entry::default()
        }
    }

    fn told(journal: &Journal) -> Vec<(u64, String)> {
        let entries = journal.pending(100).into_iter();
        entries.map(|entry| (entry.sequence, entry.volume)).collect()
    }

    #[test]
    fn entries_count_on_over_restarts_and_go_when_they_are_on_record() {
        let keep = tempfile::tempdir().unwrap();
        let journal = Journal::open(keep.path()).unwrap();
        journal.write(vec![entry("a"), entry("b")]).unwrap();
        drop(journal);
        let journal = Journal::open(keep.path()).unwrap();
        journal.write(vec![entry("c")]).unwrap();
        let said = |n: u64, volume: &str| (n, volume.to_owned());
        assert_eq!(told(&journal), [said(1, "a"), said(2, "b"), said(3, "c")]);
        assert_eq!(journal.pending(2).len(), 2);
        journal.acknowledge(2).unwrap();
        // What was never said cannot be audited.
        journal.acknowledge(1).unwrap();
        assert_eq!(told(&journal), [said(3, "c")]);
        journal.acknowledge(99).unwrap();
        drop(journal);
        let journal = Journal::open(keep.path()).unwrap();
        assert_eq!(told(&journal), []);
        journal.write(vec![entry("d")]).unwrap();
        assert_eq!(told(&journal), [said(4, "d")]);
    }

    #[test]
    fn a_line_that_is_not_whole_goes() {
        let keep = tempfile::tempdir().unwrap();
        Journal::open(keep.path())
            .unwrap()
            .write(vec![entry("a"), entry("b")])
            .unwrap();
        let path = keep.path().join(FILE);
        let text = fs::read(&path).unwrap();
        fs::write(&path, &text[..text.len() - 5]).unwrap();
        let journal = Journal::open(keep.path()).unwrap();
        assert_eq!(told(&journal), [(1, "a".to_owned())]);
        journal.write(vec![entry("c")]).unwrap();
        assert_eq!(told(&journal), [(1, "a".to_owned()), (2, "c".to_owned())]);
    }

    #[test]
    fn what_cannot_be_written_is_said() {
        let keep = tempfile::tempdir().unwrap();
        let journal = Journal::open(keep.path()).unwrap();
        fs::remove_dir_all(keep.path()).unwrap();
        assert!(journal.write(vec![entry("a")]).is_err());
        assert_eq!(told(&journal), []);
    }
}
