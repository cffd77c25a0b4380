//! What is made of the values of secrets: texts by templates, file formats, and the files of a volume. The control plane renders native Secrets with
//! it, nodes render volumes, and `kubectl strongroom render` does both on the machine of whoever asks.
//!
//! | module | idea |
//! |---|---|
//! | [`template`] | text with places for the keys of a value |
//! | [`format`] | keys as one file that programs read |
//! | [`path`] | where a file lies in a volume, and its mode |
//! | [`attributes`] | what a pod asks of its volume |
//! | [`plan`] | the files of a volume: what is asked for, and the values |
//!
//! Must not do I/O, and must not say anything of a value in an error.

pub mod attributes;
pub mod format;
pub mod path;
pub mod plan;
pub mod template;
