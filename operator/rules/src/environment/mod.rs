//! Variables of a pod's containers without a native Secret: what a pod asks for by its annotations, and the
//! changed pod.
//!
//! | module | idea |
//! |---|---|
//! | [`annotations`] | what is asked for, parsed once into [`annotations::EnvironmentRequest`] |
//! | [`containers`] | which containers are meant |
//! | [`volume`] | the volume of `csi.strongroom.dev` with a file for each variable |
//! | [`parts`] | what both ways add to the pod: volumes and the first init container |
//! | [`exec`] | `env: exec`: the container becomes its command by `strongroom-exec` |
//! | [`mod@file`] | `env: file`: kubelet reads the variables from a file in memory |
//!
//! A pod is JSON here: what this program's Kubernetes types don't know of it must come out as it went in.
//! Must not see a value.

mod annotations;
mod containers;
mod exec;
mod file;
mod parts;
#[cfg(test)]
mod tests;
mod volume;

use serde_json::{Value, json};

use self::annotations::{EnvironmentRequest, Mode};

/// What all of the annotations begin with.
pub const PREFIX: &str = "strongroom.dev/env";
/// The volume with a file for each variable. The chart's ValidatingAdmissionPolicy looks for it.
pub const VOLUME: &str = "strongroom-env";
/// The CSI driver of that volume; the chart's CSIDriver is called so.
pub const DRIVER: &str = "csi.strongroom.dev";

/// The image of `strongroom-exec`.
#[derive(Clone, Debug)]
pub struct Image {
    /// Registry, repository, and tag or digest.
    pub name: String,
    /// When it is pulled, in Kubernetes' words.
    pub pull_policy: String,
    /// `resources` of its container.
    pub resources: Value,
}

impl Image {
    /// The `resources` that it has where nobody says others. Its requests are its limits, so that a pod of
    /// the class Guaranteed stays one.
    #[must_use]
    pub fn default_resources() -> Value {
        let resources = json!({"cpu": "50m", "memory": "32Mi"});
        json!({"requests": resources, "limits": resources})
    }
}

/// A pod that cannot have its variables; it must not start without them.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EnvironmentError {
    /// Annotations that go with `strongroom.dev/env`, without it.
    #[error("`{0}` is set without `strongroom.dev/env`; set `strongroom.dev/env: exec` or `file`")]
    NoMode(String),
    /// Another way than there is.
    #[error("`strongroom.dev/env: {0}`: use `exec` or `file`")]
    Mode(String),
    /// An annotation that there is not.
    #[error(
        "`{0}` is not an annotation of strongroom; known are `strongroom.dev/env`, `env-vars` and `env-containers`"
    )]
    Unknown(String),
    /// `env-vars` is missing or names none.
    #[error("`strongroom.dev/env` is set without variables; name them in `strongroom.dev/env-vars`")]
    NoVariables,
    /// The variables cannot be read.
    #[error("`strongroom.dev/env-vars`: {0}")]
    Document(String),
    /// One variable is not as it should be.
    #[error("`strongroom.dev/env-vars`: `{name}`: {what}")]
    Variable {
        /// What the variable is to be called, as it was written.
        name: String,
        /// What is wrong.
        what: &'static str,
    },
    /// More than a volume has.
    #[error("`strongroom.dev/env-vars`: at most {0} variables, of at most {1} secrets")]
    TooMany(usize, usize),
    /// It is not clear which container is meant.
    #[error(
        "the pod has {0} containers; name those that get the variables in `strongroom.dev/env-containers`"
    )]
    WhichContainer(usize),
    /// A container that there is not.
    #[error("`strongroom.dev/env-containers`: the pod has no container `{0}`")]
    NoContainer(String),
    /// The command is the image's, which nobody here knows.
    #[error(
        "container `{0}` has no `command`, and the command of its image is not known here; set `command`, or use `strongroom.dev/env: file`"
    )]
    NoCommand(String),
    /// A variable that the container sets itself.
    #[error(
        "container `{container}` sets `{variable}` itself; remove it from its `env`, or from `strongroom.dev/env-vars`"
    )]
    SetTwice {
        /// Name of the container.
        container: String,
        /// Name of the variable.
        variable: String,
    },
    /// A name that is needed is taken by something else.
    #[error("the pod has a {0} `{1}` of its own, a name that `strongroom.dev/env` needs; rename it")]
    Taken(&'static str, String),
    /// The program runs on Linux.
    #[error("`strongroom.dev/env` is for Linux; this pod says `spec.os.name: windows`")]
    Windows,
    /// It does not look like a pod.
    #[error("the pod cannot be read: `{0}` is missing or has the wrong type")]
    NoPod(&'static str),
}

/// The pod as it has its variables; `None`: it asks for none, or has them.
///
/// # Errors
/// [`EnvironmentError`].
pub fn with_variables(pod: &Value, image: &Image) -> Result<Option<Value>, EnvironmentError> {
    let Some(wish) = EnvironmentRequest::from_pod(pod)? else {
        return Ok(None);
    };
    if pod.pointer("/spec/os/name").and_then(Value::as_str) == Some("windows") {
        return Err(EnvironmentError::Windows);
    }
    let mut changed = pod.clone();
    let which = containers::selected(&changed, &wish)?;
    match wish.mode {
        Mode::Exec => exec::apply(&mut changed, &wish, &which, image)?,
        Mode::File => file::apply(&mut changed, &wish, &which, image)?,
    }
    Ok((changed != *pod).then_some(changed))
}
