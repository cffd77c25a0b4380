//! The promise: the product stays right when it meets other people's habits, tools and files.
//!
//! One cluster with one node and the chart; each case has a namespace of its own, and cases run side by side.
//! A case is a function of a module of `habits/`, named in the module's `CASES`. `e2e/habits-checklist.md`
//! says which claim it shows.
//!
//! `cargo test -p strongroom-e2e --test habits -- WORD` runs the cases with `WORD` in their name, `-- --list`
//! lists them.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    reason = "a test that cannot set up must stop, and helpers of tests fail and tell as tests do"
)]

mod support;

#[path = "habits/certificates.rs"]
mod certificates;
#[path = "habits/deletion.rs"]
mod deletion;
#[path = "habits/gitops.rs"]
mod gitops;
#[path = "habits/name_resolution.rs"]
mod name_resolution;
#[path = "habits/native_secrets.rs"]
mod native_secrets;
#[path = "habits/ownership.rs"]
mod ownership;
#[path = "habits/people.rs"]
mod people;
#[path = "habits/rendering.rs"]
mod rendering;
#[path = "habits/rotation.rs"]
mod rotation;
#[path = "habits/runner.rs"]
mod runner;
#[path = "habits/tenant.rs"]
mod tenant;

use std::process::ExitCode;

use runner::Case;

/// All cases, by area.
const AREAS: [&[Case]; 9] = [
    native_secrets::CASES,
    ownership::CASES,
    deletion::CASES,
    gitops::CASES,
    rotation::CASES,
    certificates::CASES,
    rendering::CASES,
    people::CASES,
    name_resolution::CASES,
];

fn main() -> ExitCode {
    runner::main(&AREAS.concat())
}
