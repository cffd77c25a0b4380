//! Native Secrets follow what the object says.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
