//! The control plane.

#[expect(dead_code, reason = "the process that runs it comes next")]
#[cfg_attr(
    not(test),
    expect(unused_imports, reason = "the process that runs it comes next")
)]
mod audit;
#[cfg(test)]
mod fixture;

fn main() {}
