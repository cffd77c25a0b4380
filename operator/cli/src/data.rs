//! Values: read from files, standard input or a prompt, never from the command line; and written out.

use std::collections::BTreeMap;
use std::io::{IsTerminal, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};

use data_encoding::BASE64;
use strongroom_api::v1::ValueAnswer;
use zeroize::Zeroizing;

use crate::failure::Failure;

/// Where a value comes from.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Source {
    /// The key of the value that is read from standard input; on a terminal you are prompted without echo
    #[arg(long, value_name = "KEY")]
    pub(crate) key: Option<String>,
    /// A key of the value and the file to read it from; may be repeated
    #[arg(long, value_name = "KEY=PATH", value_parser = key_and_path)]
    pub(crate) from_file: Vec<(String, PathBuf)>,
    /// Removes the newline at the end of standard input, even if it is a file or several lines
    #[arg(long, requires = "key")]
    pub(crate) trim: bool,
    /// Keeps the newline at the end of a pipe; by default it is removed from a single line of text, because
    /// `echo` and editors add it
    #[arg(long, requires = "key", conflicts_with = "trim")]
    pub(crate) keep_newline: bool,
}

fn key_and_path(text: &str) -> Result<(String, PathBuf), String> {
    text.split_once('=')
        .filter(|(key, path)| !key.is_empty() && !path.is_empty())
        .map(|(key, path)| (key.to_owned(), PathBuf::from(path)))
        .ok_or_else(|| "give it as KEY=PATH, such as password=./password.txt".to_owned())
}

/// Bytes by key.
#[derive(Default)]
pub(crate) struct Data(BTreeMap<String, Zeroizing<Vec<u8>>>);

impl Source {
    /// Reads the value.
    pub(crate) fn read(&self) -> Result<Data, Failure> {
        let mut data = Data::default();
        for (key, path) in &self.from_file {
            let bytes = std::fs::read(path).map_err(|source| Failure::Read {
                path: path.display().to_string(),
                source,
            })?;
            data.add(key, bytes.into())?;
        }
        if let Some(key) = &self.key {
            data.add(key, self.standard_input(key)?)?;
        }
        if data.0.is_empty() {
            let why = "name the key for standard input, as in `--key password`, or give files, as in `--from-file password=./password.txt`";
            return Err(Failure::Input(why.to_owned()));
        }
        Ok(data)
    }

    fn standard_input(&self, key: &str) -> Result<Zeroizing<Vec<u8>>, Failure> {
        let unreadable = |source| Failure::Read {
            path: "standard input".to_owned(),
            source,
        };
        if std::io::stdin().is_terminal() {
            let prompt = format!("value of `{key}` (not shown): ");
            return Ok(rpassword::prompt_password(prompt)
                .map_err(unreadable)?
                .into_bytes()
                .into());
        }
        self.input(key, std::io::stdin(), &mut std::io::stderr())
            .map_err(unreadable)
    }

    /// What a file or a pipe holds; what is done with its last newline is noted.
    fn input(
        &self,
        key: &str,
        input: impl Read + AsFd,
        notes: &mut impl Write,
    ) -> std::io::Result<Zeroizing<Vec<u8>>> {
        let pipe = is_pipe(input.as_fd());
        let mut bytes = Zeroizing::new(Vec::with_capacity(64 * 1024 + 1));
        // One more than a value may have is enough to be refused.
        let most = 64 * 1024 + 2;
        input.take(most).read_to_end(&mut bytes)?;
        let newline = newline(&bytes);
        let length = bytes.len() - newline;
        // Nobody is left to tell where a note fails.
        if self.trim {
            bytes.truncate(length);
        } else if newline > 0 && !self.keep_newline && pipe && is_line(&bytes) {
            bytes.truncate(length);
            let _ = writeln!(
                notes,
                "note: the newline at the end of `{key}` was removed; `--keep-newline` keeps it"
            );
        } else if newline > 0 && !self.keep_newline {
            let _ = writeln!(
                notes,
                "note: the value of `{key}` ends with a newline; `--trim` removes it, `--keep-newline` hides this note"
            );
        }
        Ok(bytes)
    }
}

/// Bytes of the newline that a value ends with.
fn newline(bytes: &[u8]) -> usize {
    match bytes {
        [.., b'\r', b'\n'] => 2,
        [.., b'\n'] => 1,
        _ => 0,
    }
}

/// Whether it is one line of text, as `echo` writes it.
fn is_line(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_ok_and(|text| text.matches('\n').count() == 1 && text.ends_with('\n'))
}

/// Whether it is a pipe: what a file holds is exact.
fn is_pipe(input: BorrowedFd<'_>) -> bool {
    let stat = rustix::fs::fstat(input);
    stat.is_ok_and(|stat| rustix::fs::FileType::from_raw_mode(stat.st_mode) == rustix::fs::FileType::Fifo)
}

impl Data {
    fn add(&mut self, key: &str, bytes: Zeroizing<Vec<u8>>) -> Result<(), Failure> {
        match self.0.insert(key.to_owned(), bytes) {
            None => Ok(()),
            Some(_) => Err(Failure::Input(format!("key `{key}` is given twice"))),
        }
    }

    /// Keys with their bytes.
    pub(crate) fn keys(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.0.iter().map(|(key, bytes)| (key.as_str(), bytes.as_slice()))
    }

    /// `{"key": "<base64>"}`, in a buffer that is wiped.
    pub(crate) fn json(&self) -> Zeroizing<Vec<u8>> {
        let length = self
            .0
            .iter()
            .map(|(key, bytes)| key.len() * 6 + 8 + BASE64.encode_len(bytes.len()))
            .sum::<usize>();
        let mut text = Zeroizing::new(Vec::with_capacity(length + 2));
        text.push(b'{');
        for (index, (key, bytes)) in self.keys().enumerate() {
            if index > 0 {
                text.push(b',');
            }
            text.extend_from_slice(serde_json::Value::from(key).to_string().as_bytes());
            text.extend_from_slice(b":\"");
            let mut encoded = Zeroizing::new(vec![0; BASE64.encode_len(bytes.len())]);
            BASE64.encode_mut(bytes, &mut encoded);
            text.extend_from_slice(&encoded);
            text.push(b'"');
        }
        text.push(b'}');
        text
    }

    /// The value of an answer, and what stands beside it.
    pub(crate) fn from_answer(answer: &[u8]) -> Result<(ValueAnswer, Self), Failure> {
        let malformed = |_| Failure::Malformed("it is no value".to_owned());
        let mut answer: ValueAnswer = serde_json::from_slice(answer).map_err(malformed)?;
        let data = std::mem::take(&mut answer.data).into_iter();
        let data = data.map(|(key, bytes)| (key, bytes.into_bytes()));
        Ok((answer, Self(data.collect())))
    }
}

/// The text of a file; `-` is standard input.
pub(crate) fn text(path: &Path) -> Result<String, Failure> {
    let mut text = String::new();
    let read = if path.as_os_str() == "-" {
        std::io::stdin().read_to_string(&mut text).map(drop)
    } else {
        std::fs::read_to_string(path).map(|found| text = found)
    };
    read.map_err(|source| Failure::Read {
        path: path.display().to_string(),
        source,
    })?;
    Ok(text)
}

/// A new version's id: nobody has chosen it before.
pub(crate) fn version_id() -> Result<String, Failure> {
    let mut random = [0; 10];
    getrandom::fill(&mut random)
        .map_err(|error| Failure::Input(format!("the system gave no random bytes: {error}")))?;
    let text = data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase();
    Ok(format!("v-{text}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_written_and_read_again() {
        let mut data = Data::default();
        data.add("a\"b", b"\x00\xff".to_vec().into()).unwrap();
        data.add("c", b"".to_vec().into()).unwrap();
        assert!(data.add("c", Vec::new().into()).is_err());
        let mut answer = br#"{"namespace":"shop","name":"x","versionId":"v","sequence":1,
            "created":"2026-11-23T20:22:00Z","dataType":"text","stages":["Current"],"data":"#
            .to_vec();
        answer.extend_from_slice(&data.json());
        answer.push(b'}');
        let (about, read) = Data::from_answer(&answer).unwrap();
        assert_eq!((about.name.as_str(), about.version_id.as_str()), ("x", "v"));
        assert!(about.data.is_empty());
        assert_eq!(read.keys().collect::<Vec<_>>(), data.keys().collect::<Vec<_>>());
        assert!(Data::from_answer(b"{}").is_err());
    }

    #[test]
    fn a_file_is_taken_byte_by_byte() {
        // The end of a key store (PKCS#12) may be a newline's byte.
        let odd: [&[u8]; 6] = [
            b"0\x82\xff\x0a",
            b"a\0b",
            b"\xef\xbb\xbfx\n",
            b"a\r\n",
            b"",
            b"line\n",
        ];
        for (index, bytes) in odd.into_iter().enumerate() {
            let path = std::env::temp_dir().join(format!("strongroom-cli-{}-{index}", std::process::id()));
            std::fs::write(&path, bytes).unwrap();
            let source = Source {
                key: None,
                from_file: vec![("k".to_owned(), path.clone())],
                trim: false,
                keep_newline: false,
            };
            let data = source.read().unwrap();
            std::fs::remove_file(path).unwrap();
            assert_eq!(data.keys().collect::<Vec<_>>(), [("k", bytes)]);
        }
    }

    #[test]
    fn one_line_of_text_ends_with_a_newline_that_is_no_part_of_it() {
        for (bytes, line, length) in [
            (&b"secret\n"[..], true, 1),
            (b"secret\r\n", true, 2),
            (b"\n", true, 1),
            (b"\xef\xbb\xbfsecret\n", true, 1),
            (b"secret", false, 0),
            (b"", false, 0),
            (b"two\nlines\n", false, 1),
            (b"secret\n\n", false, 1),
            (b"\xff\n", false, 1),
        ] {
            assert_eq!((is_line(bytes), newline(bytes)), (line, length), "{bytes:?}");
        }
    }

    #[test]
    fn a_pipe_loses_the_newline_of_one_line_and_a_file_loses_nothing() {
        let source = |trim, keep_newline| Source {
            key: None,
            from_file: Vec::new(),
            trim,
            keep_newline,
        };
        let (usual, trims, keeps) = (source(false, false), source(true, false), source(false, true));
        let (gone, there) = ("was removed", "ends with a newline");
        /// How it is read, whether from a pipe, what is given, what is taken, and what is noted.
        type Case<'a> = (&'a Source, bool, &'a [u8], &'a [u8], Option<&'a str>);
        let cases: [Case<'_>; 12] = [
            (&usual, true, b"x\n", b"x", Some(gone)),
            (&usual, true, b"x\r\n", b"x", Some(gone)),
            (&usual, true, b"x", b"x", None),
            (&usual, true, b"", b"", None),
            (&keeps, true, b"x\n", b"x\n", None),
            (&trims, true, b"x\ny\n", b"x\ny", None),
            (&usual, true, b"x\ny\n", b"x\ny\n", Some(there)),
            (&usual, true, b"0\x82\xff\n", b"0\x82\xff\n", Some(there)),
            (&usual, false, b"x\n", b"x\n", Some(there)),
            (&keeps, false, b"x\n", b"x\n", None),
            (&trims, false, b"x\n", b"x", None),
            (&usual, false, b"\xef\xbb\xbf\0", b"\xef\xbb\xbf\0", None),
        ];
        for (source, pipe, given, taken, note) in cases {
            let mut notes = Vec::new();
            let bytes = if pipe {
                let (reader, mut writer) = std::io::pipe().unwrap();
                writer.write_all(given).unwrap();
                drop(writer);
                source.input("k", reader, &mut notes).unwrap()
            } else {
                let path = std::env::temp_dir().join(format!("strongroom-cli-input-{}", std::process::id()));
                std::fs::write(&path, given).unwrap();
                let file = std::fs::File::open(&path).unwrap();
                std::fs::remove_file(path).unwrap();
                source.input("k", file, &mut notes).unwrap()
            };
            let notes = String::from_utf8(notes).unwrap();
            assert_eq!(bytes.as_slice(), taken, "{given:?} {pipe}");
            assert_eq!(
                notes.lines().count(),
                usize::from(note.is_some()),
                "{given:?}: {notes}"
            );
            assert!(notes.contains(note.unwrap_or_default()), "{given:?}: {notes}");
        }
    }

    #[test]
    fn a_file_needs_a_key() {
        assert_eq!(
            key_and_path("a=b=c").unwrap(),
            ("a".to_owned(), PathBuf::from("b=c"))
        );
        for bad in ["", "a", "a=", "=b"] {
            assert!(key_and_path(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn version_ids_differ() {
        let (one, other) = (version_id().unwrap(), version_id().unwrap());
        assert!(one != other && one.len() == 18, "{one} {other}");
    }
}
