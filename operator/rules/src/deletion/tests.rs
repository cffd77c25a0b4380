//! The rules of absence as tables, and as walks through deletions, returns, births and restarts.

use proptest::prelude::*;

use super::*;

fn at(seconds: i64) -> Timestamp {
    Timestamp::new(1_000_000 + seconds, 0).unwrap()
}

fn id(namespace: &str, number: usize) -> String {
    format!("{namespace}-{number:04}")
}

/// Namespaces with their objects, what was made of them, and what is remembered of it.
struct World {
    /// Ids of what is there, and of what is away with the time when it went.
    there: BTreeMap<String, BTreeSet<String>>,
    away: BTreeMap<String, (String, Timestamp)>,
    /// What went, in its order.
    gone: Vec<String>,
    homes: BTreeMap<String, NamespaceState>,
    confirmed: BTreeSet<String>,
    losses: Losses,
    since: BTreeMap<String, Timestamp>,
    /// Of namespaces that keep no window.
    unrecoverable: BTreeSet<String>,
    replaced: bool,
}

impl World {
    /// Namespaces with so many objects each.
    fn new(namespaces: &[(&str, usize)]) -> Self {
        let mut world = Self {
            there: BTreeMap::new(),
            away: BTreeMap::new(),
            gone: Vec::new(),
            homes: BTreeMap::new(),
            confirmed: BTreeSet::new(),
            losses: Losses::default(),
            since: BTreeMap::new(),
            unrecoverable: BTreeSet::new(),
            replaced: false,
        };
        for (namespace, count) in namespaces {
            world.there.insert((*namespace).to_owned(), BTreeSet::new());
            world.make(namespace, 0..*count);
        }
        world
    }

    fn make(&mut self, namespace: &str, numbers: std::ops::Range<usize>) {
        let there = self.there.entry(namespace.to_owned()).or_default();
        there.extend(numbers.map(|number| id(namespace, number)));
    }

    fn delete(&mut self, namespace: &str, numbers: std::ops::Range<usize>, when: i64) {
        for number in numbers {
            let id = id(namespace, number);
            if self.there.get_mut(namespace).unwrap().remove(&id) {
                self.away.insert(id, (namespace.to_owned(), at(when)));
            }
        }
        self.observe(when);
    }

    fn come_back(&mut self, namespace: &str, numbers: std::ops::Range<usize>, when: i64) {
        for number in numbers {
            let id = id(namespace, number);
            if self.away.remove(&id).is_some() {
                self.there.get_mut(namespace).unwrap().insert(id);
            }
        }
        self.observe(when);
    }

    /// As after a start of the process: only what has to outlive it does.
    fn restart(&mut self) {
        let text = serde_json::to_string(&self.losses.to_remember()).unwrap();
        self.losses = Losses::default();
        self.losses.remember(serde_json::from_str(&text).unwrap());
        self.since.clear();
    }

    fn observe(&mut self, when: i64) {
        self.since.retain(|id, _| self.away.contains_key(id));
        for id in self.away.keys() {
            self.since.entry(id.clone()).or_insert(at(when));
        }
        let away = self
            .away
            .iter()
            .map(|(id, (namespace, _))| (namespace.as_str(), id.as_str(), self.since[id]));
        self.losses.observe(away, &self.there);
    }

    fn facts(&self) -> DeletionFacts {
        DeletionFacts {
            crd: CrdState::Present,
            missing: self
                .away
                .iter()
                .map(|(id, (namespace, _))| MissingObject {
                    secret: id.clone(),
                    namespace: namespace.clone(),
                    object: id.clone(),
                    uid: Uid::new(id),
                    since: self.since[id],
                    home: self
                        .homes
                        .get(namespace)
                        .copied()
                        .unwrap_or(NamespaceState::Active),
                    crd_replaced: self.replaced,
                    recoverable: !self.unrecoverable.contains(namespace),
                })
                .collect(),
            present: self.there.clone(),
            confirmed: self.confirmed.clone(),
        }
    }

    /// Looks, judges and carries out. Answers with what went.
    fn judge(&mut self, when: i64) -> Vec<String> {
        self.observe(when);
        let plan = plan(&self.facts(), &mut self.losses, at(when));
        for id in &plan.delete {
            assert!(self.away.remove(id).is_some(), "{id} is not away");
            self.gone.push(id.clone());
        }
        plan.delete.into_iter().collect()
    }

    fn waiting(&self) -> Vec<(String, usize)> {
        let batches = self.losses.batches();
        batches
            .into_iter()
            .map(|batch| (batch.id.clone(), batch.count()))
            .collect()
    }

    fn confirm(&mut self) {
        self.confirmed = self.waiting().into_iter().map(|(id, _)| id).collect();
    }
}

#[test]
fn nothing_missing_is_nothing_to_do() {
    let world = World::new(&[("shop", 9)]);
    assert_eq!(
        plan(&world.facts(), &mut Losses::default(), at(100)),
        DeletionPlan::default()
    );
}

#[test]
fn each_deletion_has_its_own_half_minute() {
    let mut world = World::new(&[("shop", 9), ("bank", 9)]);
    world.delete("shop", 0..1, 0);
    world.delete("bank", 0..1, 24);
    world.delete("shop", 1..2, 25);
    assert_eq!(world.judge(29), Vec::<String>::new());
    assert_eq!(world.judge(30), ["shop-0000"]);
    let plan = plan(&world.facts(), &mut world.losses, at(53));
    assert_eq!((plan.delete.len(), plan.wake), (0, Some(at(54))));
    assert_eq!(world.judge(54), ["bank-0000"]);
    assert_eq!(world.judge(55), ["shop-0001"]);
}

#[test]
fn what_came_back_and_went_again_begins_anew() {
    let mut world = World::new(&[("shop", 9)]);
    world.delete("shop", 0..1, 0);
    world.come_back("shop", 0..1, 20);
    world.delete("shop", 0..1, 25);
    assert_eq!(world.judge(31), Vec::<String>::new());
    assert_eq!(world.judge(55), ["shop-0000"]);
}

#[test]
fn a_missing_or_terminating_crd_stops_everything() {
    for crd in [CrdState::Missing, CrdState::Terminating] {
        let mut world = World::new(&[("shop", 9)]);
        world.delete("shop", 0..2, 0);
        let facts = DeletionFacts { crd, ..world.facts() };
        assert_eq!(plan(&facts, &mut world.losses, at(1000)), DeletionPlan::default());
    }
}

#[test]
fn much_of_a_namespace_waits_for_a_person() {
    let table = [
        ("one of three", 3, 1, NamespaceState::Active, false, false),
        ("all of three", 3, 3, NamespaceState::Active, false, false),
        ("half of four", 4, 2, NamespaceState::Active, false, false),
        (
            "more than half of four",
            4,
            3,
            NamespaceState::Active,
            false,
            true,
        ),
        ("twenty of many", 100, 20, NamespaceState::Active, false, false),
        ("twenty-one of many", 100, 21, NamespaceState::Active, false, true),
        (
            "all of a namespace that is gone",
            20,
            20,
            NamespaceState::Gone,
            false,
            false,
        ),
        (
            "twenty-one of a namespace that is gone",
            21,
            21,
            NamespaceState::Gone,
            false,
            true,
        ),
        (
            "one that an earlier CRD may have taken along",
            100,
            1,
            NamespaceState::Active,
            true,
            true,
        ),
    ];
    for (name, there, lost, home, replaced, asks) in table {
        let mut world = World::new(&[("shop", there)]);
        world.homes.insert("shop".to_owned(), home);
        world.replaced = replaced;
        world.delete("shop", 0..lost, 0);
        let gone = world.judge(60);
        let waiting: usize = world.waiting().iter().map(|(_, count)| count).sum();
        assert_eq!(
            (waiting, gone.len()),
            if asks { (lost, 0) } else { (0, lost) },
            "{name}"
        );
    }
}

#[test]
fn what_was_made_meanwhile_does_not_count() {
    let mut world = World::new(&[("shop", 4)]);
    world.delete("shop", 0..1, 0);
    world.make("shop", 10..20);
    world.delete("shop", 1..3, 10);
    assert_eq!(world.judge(30), Vec::<String>::new());
    assert_eq!(
        world.waiting()[0].1,
        1,
        "each is listed when its own half minute is over"
    );
    assert_eq!(world.judge(40), Vec::<String>::new());
    assert_eq!(world.waiting()[0].1, 3);

    // One that is made and deleted all the while makes no loss of what was there.
    let mut world = World::new(&[("jobs", 3)]);
    for round in 0..60 {
        let now = i64::try_from(round).unwrap() * 10;
        world.make("jobs", 100 + round..101 + round);
        world.delete("jobs", 100 + round..101 + round, now + 5);
        world.judge(now + 6);
        assert_eq!(world.waiting(), [], "{round}");
    }
    assert!(world.gone.len() > 50);
}

#[test]
fn deletions_one_after_the_other_are_one_loss() {
    let mut world = World::new(&[("shop", 30)]);
    for number in 0..25 {
        let now = i64::try_from(number).unwrap() * 2;
        world.delete("shop", number..number + 1, now);
        world.judge(now);
    }
    world.judge(100);
    assert!(world.gone.len() <= 10, "{}", world.gone.len());
    assert_eq!(world.waiting()[0].1, 25 - world.gone.len());
}

#[test]
fn nobody_waits_with_the_namespace_that_lost_much() {
    let mut world = World::new(&[("shop", 21), ("bank", 9)]);
    world.delete("shop", 0..21, 0);
    world.delete("bank", 0..1, 1);
    assert_eq!(world.judge(31), ["bank-0000"]);
    let before = world.waiting();
    assert_eq!(before[0].1, 21);
    world.delete("bank", 1..2, 100);
    assert_eq!(world.judge(130), ["bank-0001"]);
    assert_eq!(world.waiting(), before);
}

#[test]
fn one_more_deletion_does_not_change_the_batch_id() {
    let mut world = World::new(&[("shop", 40)]);
    world.delete("shop", 0..21, 0);
    world.judge(30);
    let before = world.waiting();
    world.delete("shop", 21..22, 40);
    assert_eq!((world.judge(69).len(), world.waiting()), (0, before.clone()));
    assert_eq!(world.judge(70).len(), 0);
    assert_eq!(world.waiting(), [(before[0].0.clone(), 22)]);
}

#[test]
fn a_confirmation_covers_what_was_listed_and_nothing_else() {
    let mut world = World::new(&[("shop", 40)]);
    world.delete("shop", 0..21, 0);
    world.judge(30);
    let id = world.waiting()[0].0.clone();
    world.confirm();
    world.delete("shop", 21..22, 40);
    assert_eq!(world.judge(41).len(), 21);
    assert_eq!(
        world.judge(42).len(),
        0,
        "the other one has half a minute of its own"
    );
    assert_eq!(world.judge(70), ["shop-0021"], "and is judged by itself");

    // The same loss again is another batch: the old confirmation is none of it.
    world.make("shop", 0..21);
    world.delete("shop", 0..21, 100);
    world.judge(130);
    assert_eq!(world.waiting()[0].1, 21);
    assert_ne!(world.waiting()[0].0, id);
}

#[test]
fn what_is_left_of_a_loss_goes_on_waiting() {
    let mut world = World::new(&[("shop", 21)]);
    world.delete("shop", 0..21, 0);
    world.judge(30);
    let id = world.waiting()[0].0.clone();
    world.come_back("shop", 0..15, 60);
    assert_eq!(world.judge(61).len(), 0);
    assert_eq!(world.waiting(), [(id, 6)]);
    world.come_back("shop", 15..21, 70);
    world.judge(71);
    assert_eq!(world.waiting(), []);
    world.delete("shop", 0..1, 80);
    assert_eq!(world.judge(110).len(), 1, "nothing of it is left");
}

#[test]
fn a_restart_forgets_no_wait_and_no_measure() {
    let mut world = World::new(&[("shop", 4)]);
    world.delete("shop", 0..3, 0);
    world.make("shop", 10..20);
    world.restart();
    assert_eq!(world.judge(10).len(), 0);
    assert_eq!(world.judge(40).len(), 0, "three of four, whatever was made since");
    let before = world.waiting();
    assert_eq!(before[0].1, 3);
    world.restart();
    world.judge(50);
    assert_eq!(world.waiting(), before);
    world.confirm();
    world.restart();
    assert_eq!(
        world.judge(60).len(),
        0,
        "nobody knows for how long they are away"
    );
    assert_eq!(world.judge(90).len(), 3);
    world.judge(91);
    assert_eq!(world.waiting(), []);
}

#[test]
fn the_loss_of_many_namespaces_waits_as_one() {
    let names: Vec<String> = (0..12).map(|number| format!("n{number:02}")).collect();
    let namespaces: Vec<(&str, usize)> = names.iter().map(|name| (name.as_str(), 2)).collect();
    let mut world = World::new(&namespaces);
    world.make("bank", 0..9);
    for name in &names {
        world.delete(name, 0..2, 0);
    }
    assert_eq!(world.judge(30).len(), 0);
    let batches = world.losses.batches();
    assert_eq!(
        (batches.len(), batches[0].count(), batches[0].namespaces.len()),
        (1, 24, 12)
    );
    world.delete("bank", 0..1, 100);
    assert_eq!(world.judge(130), ["bank-0000"], "what goes later does not wait");
    world.confirm();
    assert_eq!(world.judge(131).len(), 24);

    // Four that lose much each, and one that loses little with them.
    let mut world = World::new(&[("a", 4), ("b", 4), ("c", 4), ("d", 4), ("e", 9)]);
    for name in ["a", "b", "c", "d"] {
        world.delete(name, 0..4, 0);
    }
    world.delete("e", 0..1, 5);
    world.judge(35);
    assert_eq!(world.losses.batches().len(), 1);
    assert_eq!(world.waiting()[0].1, 17);
    assert_eq!(world.gone, Vec::<String>::new());
}

#[test]
fn a_terminating_namespace_is_waited_for() {
    let mut world = World::new(&[("shop", 9)]);
    world.homes.insert("shop".to_owned(), NamespaceState::Terminating);
    world.delete("shop", 0..9, 0);
    assert_eq!((world.judge(60).len(), world.waiting()), (0, vec![]));
    world.homes.insert("shop".to_owned(), NamespaceState::Gone);
    assert_eq!(world.judge(61).len(), 9);
}

#[test]
fn a_namespace_that_goes_ends_its_own_wait() {
    let mut world = World::new(&[("shop", 4)]);
    world.delete("shop", 0..3, 0);
    world.judge(30);
    assert_eq!(world.waiting()[0].1, 3);
    world.homes.insert("shop".to_owned(), NamespaceState::Gone);
    assert_eq!(world.judge(60).len(), 3);
}

#[test]
fn what_keeps_no_window_waits_for_nobody_but_an_earlier_crd() {
    let mut world = World::new(&[("preview", 30), ("shop", 9)]);
    world.unrecoverable.insert("preview".to_owned());
    world.delete("preview", 0..30, 0);
    world.delete("shop", 0..1, 0);
    assert_eq!(world.judge(29).len(), 0);
    assert_eq!(world.judge(30).len(), 31);

    let mut world = World::new(&[("preview", 1)]);
    world.unrecoverable.insert("preview".to_owned());
    world.replaced = true;
    world.delete("preview", 0..1, 0);
    assert_eq!((world.judge(60).len(), world.waiting()[0].1), (0, 1));
}

#[derive(Clone, Debug)]
enum Act {
    Delete(usize, usize, usize),
    Back(usize, usize, usize),
    Make(usize, usize),
    Wait(i64),
    Restart,
    Confirm,
    Home(usize, NamespaceState),
}

fn act() -> impl Strategy<Value = Act> {
    prop_oneof![
        4 => (0_usize..6, 0_usize..12, 1_usize..12).prop_map(|(n, from, count)| Act::Delete(n, from, count)),
        1 => (0_usize..6, 0_usize..12, 1_usize..6).prop_map(|(n, from, count)| Act::Back(n, from, count)),
        1 => (0_usize..6, 1_usize..6).prop_map(|(n, count)| Act::Make(n, count)),
        4 => (1_i64..40).prop_map(Act::Wait),
        1 => Just(Act::Restart),
        1 => Just(Act::Confirm),
        1 => (0_usize..6, prop_oneof![Just(NamespaceState::Active), Just(NamespaceState::Terminating), Just(NamespaceState::Gone)])
            .prop_map(|(n, home)| Act::Home(n, home)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, ..ProptestConfig::default() })]

    /// Nothing goes before it was away for its own half minute; what waits goes only under its confirmed id;
    /// an id stays as long as something of it waits; and a lone deletion in a namespace that lost nothing
    /// else goes as soon as its time has come, whatever waits elsewhere.
    #[test]
    fn walks_keep_the_promises(acts in proptest::collection::vec(act(), 1..40)) {
        let names = ["n0", "n1", "n2", "n3", "n4", "n5"];
        let namespaces: Vec<(&str, usize)> = names.iter().map(|name| (*name, 12)).collect();
        let mut world = World::new(&namespaces);
        world.make("alone", 0..9);
        let mut now = 0;
        let mut made = 100;
        for act in acts {
            let before = world.losses.batches();
            match act {
                Act::Delete(n, from, count) => world.delete(names[n], from..from + count, now),
                Act::Back(n, from, count) => world.come_back(names[n], from..from + count, now),
                Act::Make(n, count) => { world.make(names[n], made..made + count); made += count; }
                Act::Wait(seconds) => now += seconds,
                Act::Restart => { world.restart(); world.observe(now); }
                Act::Confirm => world.confirm(),
                Act::Home(n, home) => { world.homes.insert(names[n].to_owned(), home); }
            }
            let away = world.away.clone();
            let listed: BTreeMap<String, String> = world.losses.batches().iter()
                .flat_map(|batch| batch.namespaces.values().flat_map(|waiting| waiting.secrets.iter().map(|secret| (secret.clone(), batch.id.clone()))).collect::<Vec<_>>())
                .collect();
            for id in world.judge(now) {
                let (namespace, since) = &away[&id];
                prop_assert!(at(now).duration_since(*since) >= GRACE_PERIOD, "{id} was away for less");
                prop_assert!(world.homes.get(namespace) != Some(&NamespaceState::Terminating));
                if let Some(batch) = listed.get(&id) {
                    prop_assert!(world.confirmed.contains(batch) || world.homes.get(namespace) == Some(&NamespaceState::Gone), "{id} waited");
                }
            }
            for batch in &before {
                for (namespace, waiting) in &batch.namespaces {
                    let still = waiting.secrets.iter().any(|secret| world.away.contains_key(secret));
                    let waits = world.losses.batches().iter().any(|now| now.id == batch.id && now.namespaces.contains_key(namespace));
                    prop_assert!(!still || waits || world.confirmed.contains(&batch.id) || world.homes.get(namespace) == Some(&NamespaceState::Gone));
                }
            }
        }
        // All that is left is either listed or will be: nothing is forgotten. And who comes later does not
        // wait with it.
        now += 120;
        for name in names { world.homes.insert(name.to_owned(), NamespaceState::Active); }
        world.judge(now);
        now += 31;
        world.judge(now);
        let waiting: usize = world.waiting().iter().map(|(_, count)| count).sum();
        prop_assert!(!world.confirmed.is_empty() || waiting == world.away.len(), "{waiting} of {}", world.away.len());
        now += 100;
        world.delete("alone", 0..1, now);
        prop_assert!(!world.judge(now + 29).contains(&"alone-0000".to_owned()));
        prop_assert!(world.judge(now + 30).contains(&"alone-0000".to_owned()));
    }
}
