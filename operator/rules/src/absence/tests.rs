//! The rules of absence as tables.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_000_000 + seconds, 0).unwrap()
}

fn missing(number: usize, namespace: &str) -> Missing {
    Missing {
        secret: format!("{number:032x}"),
        namespace: namespace.to_owned(),
        object: format!("object-{number}"),
        uid: Uid::new(format!("uid-{number}")),
        since: at(0),
        home: Home::Standing,
        crd_replaced: false,
    }
}

fn facts(missing: Vec<Missing>, population: &[(&str, usize)]) -> Facts {
    Facts {
        crd: Crd::Present,
        missing,
        population: population
            .iter()
            .map(|(name, count)| ((*name).to_owned(), *count))
            .collect(),
        confirmed: None,
    }
}

fn several(count: usize, namespace: &str) -> Vec<Missing> {
    (0..count).map(|number| missing(number, namespace)).collect()
}

#[test]
fn nothing_missing_is_nothing_to_do() {
    assert_eq!(plan(&facts(vec![], &[("shop", 9)]), at(100)), Plan::default());
}

#[test]
fn absences_are_collected_before_they_are_judged() {
    let mut late = missing(2, "shop");
    late.since = at(29);
    let facts = facts(vec![missing(1, "shop"), late], &[("shop", 9)]);
    assert_eq!(
        plan(&facts, at(29)),
        Plan {
            wake: Some(at(30)),
            ..Plan::default()
        }
    );
    assert_eq!(plan(&facts, at(30)).delete.len(), 2);
}

#[test]
fn a_missing_or_terminating_crd_stops_everything() {
    for crd in [Crd::Missing, Crd::Terminating] {
        let facts = Facts {
            crd,
            ..facts(several(2, "shop"), &[("shop", 9)])
        };
        assert_eq!(plan(&facts, at(1000)), Plan::default());
    }
}

#[test]
fn much_at_once_waits_for_a_person() {
    let gone = |mut list: Vec<Missing>| {
        list.iter_mut().for_each(|missing| missing.home = Home::Gone);
        list
    };
    let replaced = |mut list: Vec<Missing>| {
        list.iter_mut().for_each(|missing| missing.crd_replaced = true);
        list
    };
    let table = [
        ("one of three", several(1, "shop"), 3, false),
        ("all of three", several(3, "shop"), 3, false),
        ("half of four", several(2, "shop"), 4, false),
        ("more than half of four", several(3, "shop"), 4, true),
        ("twenty of many", several(20, "shop"), 100, false),
        ("twenty-one of many", several(21, "shop"), 100, true),
        (
            "all of a namespace that is gone",
            gone(several(20, "shop")),
            20,
            false,
        ),
        (
            "twenty-one of namespaces that are gone",
            gone(several(21, "shop")),
            21,
            true,
        ),
        (
            "one that an earlier CRD may have taken along",
            replaced(several(1, "shop")),
            100,
            true,
        ),
    ];
    for (name, list, population, asks) in table {
        let plan = plan(&facts(list.clone(), &[("shop", population)]), at(60));
        assert_eq!(plan.ask.is_some(), asks, "{name}");
        assert_eq!(plan.delete.len(), if asks { 0 } else { list.len() }, "{name}");
    }
}

#[test]
fn a_terminating_namespace_is_waited_for() {
    let mut waiting = missing(1, "shop");
    waiting.home = Home::Terminating;
    assert_eq!(
        plan(&facts(vec![waiting], &[("shop", 9)]), at(60)),
        Plan::default()
    );
}

#[test]
fn only_the_confirmed_batch_is_deleted() {
    let mut facts = facts(several(21, "shop"), &[("shop", 100)]);
    let batch = plan(&facts, at(60)).ask.unwrap();
    facts.confirmed = Some("0123456789abcdef".to_owned());
    assert_eq!(plan(&facts, at(60)).ask.as_ref(), Some(&batch));
    facts.confirmed = Some(batch.id.clone());
    assert_eq!(plan(&facts, at(60)).delete.len(), 21);
    facts.missing.push(missing(21, "shop"));
    assert!(
        plan(&facts, at(60)).ask.is_some(),
        "a batch that grew is confirmed anew"
    );
}

proptest! {
    #[test]
    fn never_deletes_and_asks_at_once_and_never_invents(
        list in proptest::collection::vec((0_usize..40, 0_usize..3, 0..3, any::<bool>()), 0..40), population in 0_usize..60, later in 0_i64..90,
    ) {
        let missing: Vec<Missing> = list.iter().map(|(number, namespace, home, replaced)| Missing {
            home: match home { 0 => Home::Standing, 1 => Home::Terminating, _ => Home::Gone },
            crd_replaced: *replaced,
            ..missing(*number, &format!("n{namespace}"))
        }).collect();
        let facts = facts(missing, &[("n0", population), ("n1", population), ("n2", 4)]);
        let plan = plan(&facts, at(later));
        prop_assert!(plan.delete.is_empty() || plan.ask.is_none());
        for secret in &plan.delete {
            prop_assert!(facts.missing.iter().any(|missing| missing.secret == *secret && missing.home != Home::Terminating));
        }
    }
}
