//! Certificates and their authorities.

use crate::runner::{Case, cases};

pub(crate) const CASES: &[Case] = cases![];
