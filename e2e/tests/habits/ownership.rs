//! What is ours to take or delete, and what is not.

use crate::runner::{Case, cases};
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![a_secret_of_somebody_else_is_left_alone_and_the_condition_says_so];

fn a_secret_of_somebody_else_is_left_alone_and_the_condition_says_so(it: &Tenant<'_>) {
    it.kubectl(&[
        "create",
        "secret",
        "generic",
        "app",
        "--from-literal=password=theirs",
    ]);
    let before = it.secret("app").unwrap();
    it.manage(
        "app",
        "{source: {generate: {keys: {password: {password: {}}}}}, secret: {name: app}}",
    );
    let object = it.wait_ready("app", "False", "TargetNotOwned");
    assert_eq!(it.secret("app").unwrap(), before, "{object}");
}
