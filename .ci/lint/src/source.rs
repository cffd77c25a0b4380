//! The Rust sources of the workspace, parsed once. Must not judge them.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// Rust with its syntax tree and where it stands.
pub(crate) struct SourceFile {
    /// Relative to the root of the repository.
    pub(crate) path: String,
    /// The crate that it belongs to: the folder with its `Cargo.toml`, relative to the root.
    pub(crate) krate: String,
    pub(crate) text: String,
    pub(crate) syntax: syn::File,
}

/// All source files, and the files that the rules read.
pub(crate) struct Workspace {
    pub(crate) files: Vec<SourceFile>,
    /// The settings of the rules in `.ci/`, by file name.
    settings: BTreeMap<&'static str, String>,
}

/// Files in `.ci/` that rules read.
const SETTINGS: [&str; 2] = ["arrows", "words"];

/// A file cannot be read.
#[derive(Debug)]
pub(crate) enum SourceError {
    /// The system says why.
    Read(PathBuf, io::Error),
    /// It is no Rust.
    Parse(String, syn::Error),
}

impl std::fmt::Display for SourceError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Read(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Parse(path, error) => {
                write!(f, "{path}:{}: not parsed: {error}", error.span().start().line)
            }
        }
    }
}

impl Workspace {
    /// Reads what lies below the working directory, but for what was built.
    ///
    /// # Errors
    /// [`SourceError`].
    pub(crate) fn read() -> Result<Self, SourceError> {
        let mut paths = Vec::new();
        walk(Path::new("."), &mut paths)?;
        paths.sort();
        let crates: Vec<&str> = paths
            .iter()
            .filter_map(|path| path.strip_suffix("Cargo.toml"))
            .collect();
        let mut files = Vec::new();
        for path in paths.iter().filter(|path| path.ends_with(".rs")) {
            // A program made it.
            if path.contains("/generated/") {
                continue;
            }
            let text = read(Path::new(path))?;
            let syntax =
                syn::parse_file(&text).map_err(|error| SourceError::Parse(path.to_owned(), error))?;
            let krate = crates
                .iter()
                .filter(|folder| path.starts_with(**folder))
                .max_by_key(|folder| folder.len());
            files.push(SourceFile {
                path: path.to_owned(),
                krate: krate.copied().unwrap_or_default().to_owned(),
                text,
                syntax,
            });
        }
        let mut settings = BTreeMap::new();
        for name in SETTINGS {
            settings.insert(name, read(&Path::new(".ci").join(name))?);
        }
        Ok(Self { files, settings })
    }

    /// Sources that a test makes up.
    #[cfg(test)]
    pub(crate) fn of_texts(files: &[(&str, &str, &str)], setting: (&'static str, &str)) -> Self {
        let parsed = |(krate, path, text): &(&str, &str, &str)| SourceFile {
            path: (*path).to_owned(),
            krate: (*krate).to_owned(),
            text: (*text).to_owned(),
            syntax: syn::parse_file(text).unwrap(),
        };
        Self {
            files: files.iter().map(parsed).collect(),
            settings: BTreeMap::from([(setting.0, setting.1.to_owned())]),
        }
    }

    /// The lines of a setting with their numbers, without empty ones and comments (`#`).
    pub(crate) fn setting(&self, name: &str) -> impl Iterator<Item = (usize, &str)> {
        let text = self.settings.get(name).map_or("", String::as_str);
        let lines = text.lines().enumerate();
        lines
            .map(|(index, line)| {
                (
                    index.saturating_add(1),
                    line.split('#').next().unwrap_or("").trim(),
                )
            })
            .filter(|(_, line)| !line.is_empty())
    }
}

/// The paths of all Rust sources and manifests below a folder, relative to it.
fn walk(folder: &Path, paths: &mut Vec<String>) -> Result<(), SourceError> {
    let failed = |error| SourceError::Read(folder.to_owned(), error);
    for entry in fs::read_dir(folder).map_err(failed)? {
        let entry = entry.map_err(failed)?;
        let (path, name) = (entry.path(), entry.file_name());
        if entry.file_type().map_err(failed)?.is_dir() {
            // What is built, and what tools keep.
            let is_hidden = name.as_encoded_bytes().starts_with(b".") && name != ".ci";
            if name != "target" && !is_hidden {
                walk(&path, paths)?;
            }
        } else if let Some(text) = path.to_str()
            && (text.ends_with(".rs") || text.ends_with("/Cargo.toml"))
        {
            paths.push(text.trim_start_matches("./").to_owned());
        }
    }
    Ok(())
}

fn read(path: &Path) -> Result<String, SourceError> {
    fs::read_to_string(path).map_err(|error| SourceError::Read(path.to_owned(), error))
}
