use strongroom_store::id::StoreId;
use strongroom_store::vault::Anchor;

use super::{Accept, BootstrapError, Facts, SlotFact, Start, decide};

const STORE: StoreId = StoreId::from_bytes([1; 16]);
const OTHER: StoreId = StoreId::from_bytes([2; 16]);

fn anchor(store: StoreId) -> Anchor {
    Anchor {
        store,
        counter: 9,
        mac: [0; 32],
    }
}

const NOTHING: Facts = Facts {
    store: false,
    seal: false,
    prepared: None,
    slot: SlotFact::Missing,
    anchor: None,
    in_use: false,
};
const NO: Accept = Accept {
    rollback: false,
    new_store: false,
};
const NEW: Accept = Accept {
    rollback: false,
    new_store: true,
};
const OLD: Accept = Accept {
    rollback: true,
    new_store: false,
};

#[test]
fn a_new_store_is_made_only_where_nothing_ever_was() {
    let provided = Facts {
        slot: SlotFact::Provided,
        ..NOTHING
    };
    assert_eq!(decide(&NOTHING, NO), Ok(Start::Create { reuse: false }));
    assert_eq!(decide(&provided, NO), Ok(Start::Create { reuse: true }));
    let mut refused = 0;
    for slot in [SlotFact::Missing, SlotFact::There, SlotFact::Provided] {
        for anchor in [None, Some(anchor(STORE))] {
            for in_use in [false, true] {
                for prepared in [None, Some((OTHER, false)), Some((STORE, false))] {
                    let facts = Facts {
                        slot,
                        anchor,
                        in_use,
                        prepared,
                        ..NOTHING
                    };
                    let trace = slot == SlotFact::There || anchor.is_some() || in_use;
                    let decision = decide(&facts, NO);
                    assert_eq!(decision.is_err(), trace, "{facts:?}: {decision:?}");
                    refused += u32::from(decision.is_err());
                    assert!(
                        matches!(decide(&facts, NEW), Ok(Start::Create { .. })),
                        "{facts:?}"
                    );
                }
            }
        }
    }
    assert_eq!(refused, 30);
}

#[test]
fn half_a_store_is_never_opened_or_replaced() {
    for accept in [NO, NEW, OLD] {
        let facts = Facts {
            store: true,
            slot: SlotFact::There,
            anchor: Some(anchor(STORE)),
            ..NOTHING
        };
        assert_eq!(decide(&facts, accept), Err(BootstrapError::SealMissing));
        let facts = Facts {
            seal: true,
            slot: SlotFact::There,
            anchor: Some(anchor(STORE)),
            ..NOTHING
        };
        assert_eq!(decide(&facts, accept), Err(BootstrapError::FileMissing));
    }
}

#[test]
fn a_store_opens_with_its_key_and_its_anchor() {
    let whole = Facts {
        store: true,
        seal: true,
        slot: SlotFact::There,
        anchor: Some(anchor(STORE)),
        in_use: true,
        prepared: None,
    };
    assert_eq!(decide(&whole, NO), Ok(Start::Open(anchor(STORE))));
    assert_eq!(decide(&whole, NEW), Ok(Start::Open(anchor(STORE))));
    assert_eq!(decide(&whole, OLD), Ok(Start::OpenAccepted));
    let no_key = Facts {
        slot: SlotFact::Missing,
        ..whole
    };
    for accept in [NO, NEW, OLD] {
        assert_eq!(decide(&no_key, accept), Err(BootstrapError::KeyMissing));
    }
    let no_anchor = Facts {
        anchor: None,
        ..whole
    };
    assert_eq!(decide(&no_anchor, NO), Err(BootstrapError::AnchorMissing));
    assert_eq!(decide(&no_anchor, NEW), Err(BootstrapError::NotNew));
    assert_eq!(decide(&no_anchor, OLD), Ok(Start::OpenAccepted));
}

#[test]
fn a_first_start_that_was_killed_is_finished() {
    let made_secret = Facts {
        prepared: Some((STORE, true)),
        slot: SlotFact::There,
        ..NOTHING
    };
    assert_eq!(decide(&made_secret, NO), Ok(Start::Finish(STORE)));
    let anchored = Facts {
        anchor: Some(anchor(STORE)),
        ..made_secret
    };
    assert_eq!(decide(&anchored, NO), Ok(Start::Finish(STORE)));
    let other = Facts {
        anchor: Some(anchor(OTHER)),
        ..made_secret
    };
    assert!(decide(&other, NO).is_err());
    let used = Facts {
        in_use: true,
        ..anchored
    };
    assert!(decide(&used, NO).is_err());
    let provided = Facts {
        slot: SlotFact::Provided,
        ..anchored
    };
    assert_eq!(decide(&provided, NO), Ok(Start::Finish(STORE)));
    let before_secret = Facts {
        prepared: Some((STORE, false)),
        ..NOTHING
    };
    assert_eq!(decide(&before_secret, NO), Ok(Start::Create { reuse: false }));
}
