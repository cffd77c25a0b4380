//! Templates, formats, and exact bytes.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
