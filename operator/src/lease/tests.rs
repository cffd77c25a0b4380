use std::time::Duration;

use super::decide::{ObservedLease, Step, decide};

fn seen(holder: &str, unchanged_for: u64) -> ObservedLease {
    ObservedLease {
        holder: holder.to_owned(),
        duration: Duration::from_secs(15),
        transitions: 4,
        unchanged_for: Duration::from_secs(unchanged_for),
    }
}

#[test]
fn every_case_has_its_step() {
    for (case, lease, holding, step) in [
        ("no lease", None, false, Step::Create),
        ("deleted while we hold it", None, true, Step::Create),
        ("nobody's", Some(seen("", 0)), false, Step::Take(5)),
        (
            "an earlier life of ours",
            Some(seen("me", 0)),
            false,
            Step::Take(5),
        ),
        ("ours", Some(seen("me", 0)), true, Step::Renew),
        (
            "another's, alive",
            Some(seen("other", 3)),
            false,
            Step::Wait(Duration::from_secs(12)),
        ),
        (
            "another's, silent for its duration",
            Some(seen("other", 15)),
            false,
            Step::Take(5),
        ),
        (
            "another's, silent for long",
            Some(seen("other", 99)),
            false,
            Step::Take(5),
        ),
        ("taken from us", Some(seen("other", 0)), true, Step::Lost),
        ("released while we hold it", Some(seen("", 0)), true, Step::Lost),
    ] {
        assert_eq!(decide(lease.as_ref(), "me", holding), step, "{case}");
    }
}
