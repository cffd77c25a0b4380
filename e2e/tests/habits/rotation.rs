//! Rotations and what they report.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
