//! What is made of the values of secrets: texts by templates, file formats, and the files of a volume. The
//! control plane renders native Secrets with it, nodes render volumes, and `kubectl strongroom render` does
//! both on the machine of whoever asks.
//!
//! | module | idea |
//! |---|---|
//! | [`template`] | text with places for the keys of a value |
//! | [`native`] | the data of a native Secret |
//! | [`mod@format`] | keys as one file that programs read |
//! | [`path`] | where a file lies in a volume, and its mode |
//! | [`attributes`] | what a pod asks of its volume |
//! | [`plan`] | the files of a volume: what is asked for, and the values |
//! | [`variable`] | what the variables of a pod cannot hold |
//! | [`document`] | YAML whose scalars are the text that was written |
//! | [`mismatch`] | a value that does not fit: the same words for every value |
//!
//! Must not do I/O, and must not say anything of a value in an error but in a [`mismatch::Detail`].

pub mod attributes;
mod base64;
pub mod document;
pub mod format;
pub mod mismatch;
pub mod native;
pub mod path;
mod pem;
pub mod plan;
pub mod template;
pub mod variable;
