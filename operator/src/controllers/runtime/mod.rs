//! How the kinds run: what no kind has for itself.
//!
//! A kind is a [`Reconciler`]: one attempt for one object. The [`Driver`] decides when an object has its
//! attempt, how long it waits after a failure, and what is told of the end. A kind whose work is steps is
//! [`Stepwise`] beside that: [`walk`] looks, asks the plan and takes the step until none is left. The
//! [`Supervisor`] has the tasks of all of them, by name.

mod driver;
pub(super) mod expected_status;
mod fair_queue;
mod initial_list;
pub(super) mod status_writer;
mod stepwise;
mod supervisor;
pub(super) mod watch;

pub(super) use self::driver::{Driver, Pace, Reconciler};
pub(super) use self::expected_status::ExpectedStatus;
pub(super) use self::fair_queue::FairQueue;
pub(super) use self::initial_list::InitialList;
pub(super) use self::stepwise::{StepOrigin, Stepwise, walk};
pub(super) use self::supervisor::Supervisor;
pub(crate) use self::supervisor::TaskFailure;
