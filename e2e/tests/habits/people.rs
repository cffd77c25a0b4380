//! People, and what they are told.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
