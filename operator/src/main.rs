//! The control plane.

#[cfg_attr(
    not(test),
    expect(dead_code, unused_imports, reason = "the process that runs it comes next")
)]
mod admin;
#[expect(dead_code, reason = "the process that runs it comes next")]
#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "the process that runs it comes next")
)]
mod audit;
#[expect(dead_code, reason = "the process that runs them comes next")]
mod controllers;
#[cfg(test)]
mod fixture;
#[expect(dead_code, reason = "the process that runs it comes next")]
mod seal;

fn main() {}
