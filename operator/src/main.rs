//! The control plane.

#[expect(dead_code, reason = "the process that runs them comes next")]
mod controllers;

fn main() {}
