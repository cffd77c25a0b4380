//! Runs the cases side by side on one cluster: most of a case is waiting, so that more run at once than there
//! are processors.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;
use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use strongroom_e2e::Size;

use crate::support::Fixture;
use crate::tenant::Tenant;

/// How many cases run at once.
const SIDE_BY_SIDE: usize = 8;

/// One test: a function that gets a tenant to act in.
#[derive(Clone, Copy)]
pub(crate) struct Case {
    /// The name of its function.
    pub(crate) name: &'static str,
    /// The function.
    pub(crate) run: fn(&Tenant<'_>),
    /// It takes from all what others need, such as the process: it runs when they are done.
    pub(crate) alone: bool,
}

/// The cases of a module: `cases![first, second]`, or `cases![first; alone: second]`.
macro_rules! cases {
    ($($name:ident),* $(,)? $(; alone: $($lone:ident),+ $(,)?)?) => {
        &[
            $($crate::runner::Case { name: stringify!($name), run: $name, alone: false },)*
            $($($crate::runner::Case { name: stringify!($lone), run: $lone, alone: true },)+)?
        ]
    };
}
pub(crate) use cases;

/// Runs the cases that the arguments select, as the standard harness does.
pub(crate) fn main(cases: &[Case]) -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&String> = arguments.iter().filter(|word| !word.starts_with('-')).collect();
    let selected: Vec<Case> = cases
        .iter()
        .filter(|case| words.is_empty() || words.iter().any(|word| case.name.contains(word.as_str())))
        .copied()
        .collect();
    if arguments.iter().any(|argument| argument == "--list") {
        for case in &selected {
            println!("{}: test", case.name);
        }
        return ExitCode::SUCCESS;
    }
    println!("running {} cases", selected.len());
    if selected.is_empty() {
        return ExitCode::SUCCESS;
    }
    let f = Fixture::with_chart(Size::OneNode, &["node.enabled=true", "env.enabled=true"]);
    let (alone, together): (Vec<Case>, Vec<Case>) = selected.into_iter().partition(|case| case.alone);
    let mut failed = side_by_side(&f, &together);
    failed.extend(
        alone
            .iter()
            .filter(|case| !passes(&f, case))
            .map(|case| case.name),
    );
    if failed.is_empty() {
        return ExitCode::SUCCESS;
    }
    println!("failed: {}", failed.join(", "));
    // What the process said last helps to see why.
    println!("{}", f.log_of_strongroom(40));
    ExitCode::FAILURE
}

/// The names of those that failed.
fn side_by_side(f: &Fixture, cases: &[Case]) -> Vec<&'static str> {
    let next = AtomicUsize::new(0);
    let failed = Mutex::new(Vec::new());
    let work = || {
        while let Some(case) = cases.get(next.fetch_add(1, Ordering::Relaxed)) {
            if !passes(f, case) {
                failed.lock().push(case.name);
            }
        }
    };
    std::thread::scope(|scope| {
        for number in 0..SIDE_BY_SIDE.min(cases.len()) {
            std::thread::Builder::new()
                .name(format!("cases {number}"))
                .spawn_scoped(scope, work)
                .unwrap();
        }
    });
    failed.into_inner()
}

fn passes(f: &Fixture, case: &Case) -> bool {
    let passed = catch_unwind(AssertUnwindSafe(|| (case.run)(&Tenant::new(f, case.name)))).is_ok();
    println!("test {} ... {}", case.name, if passed { "ok" } else { "FAILED" });
    passed
}
