//! `strongroom crds`: the custom resource definitions.

use std::io::Write;

use super::CommandError;

/// Prints the custom resource definitions as YAML
///
/// `strongroom crds | kubectl apply -f -` installs them.
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {}

pub(super) fn run(out: &mut impl Write) -> Result<(), CommandError> {
    let yaml = strongroom_crds::yaml().map_err(|error| CommandError::Crds(error.to_string()))?;
    out.write_all(yaml.as_bytes())?;
    Ok(())
}
