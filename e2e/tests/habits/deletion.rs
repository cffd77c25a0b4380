//! What was deleted, and when it goes.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
