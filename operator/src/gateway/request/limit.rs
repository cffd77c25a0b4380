//! The second station: whether the caller asks too often.

use super::context::RequestContext;
use crate::gateway::problem::Problem;

/// What an operation costs its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum Cost {
    /// A part of the reads of a second.
    Read,
    /// A part of the writes of a second.
    Write,
}

/// A request that is paid for. Only [`limit`] makes one.
#[derive(Clone, Copy, Debug)]
pub(in crate::gateway) struct Limited<'a>(&'a RequestContext);

impl<'a> Limited<'a> {
    pub(super) const fn context(self) -> &'a RequestContext {
        self.0
    }
}

/// Takes what an operation costs from the share that the caller and its namespace have of the listener, and
/// from that of all who came by it.
///
/// # Errors
/// [`crate::gateway::problem::Code::TooManyRequests`], which is not audited: a caller cannot fill the log
/// this way.
pub(in crate::gateway) fn limit(context: &RequestContext, cost: Cost) -> Result<Limited<'_>, Problem> {
    let (limits, caller) = (&context.listener().limits, context.caller());
    match cost {
        Cost::Read => limits.take_read(caller)?,
        Cost::Write => limits.take_write(caller)?,
    }
    Ok(Limited(context))
}
