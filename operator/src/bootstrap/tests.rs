mod restore;
mod start;

use strongroom_model::id::StoreId;
use strongroom_store::vault::Anchor;

use super::{AcceptFlags, BootstrapError, BootstrapFacts, SealKeyPresence, StartDecision, decide};

/// The namespace of the process.
const NAMESPACE: &str = "strongroom";

const STORE: StoreId = StoreId::from_bytes([1; 16]);
const OTHER: StoreId = StoreId::from_bytes([2; 16]);

fn anchor(store: StoreId) -> Anchor {
    Anchor {
        store,
        counter: 9,
        mac: [0; 32],
    }
}

const NOTHING: BootstrapFacts = BootstrapFacts {
    store: false,
    seal: false,
    prepared: None,
    slot: SealKeyPresence::Missing,
    anchor: None,
    in_use: false,
};
const NO: AcceptFlags = AcceptFlags {
    rollback: false,
    new_store: false,
};
const NEW: AcceptFlags = AcceptFlags {
    rollback: false,
    new_store: true,
};
const OLD: AcceptFlags = AcceptFlags {
    rollback: true,
    new_store: false,
};

#[test]
fn a_new_store_is_made_only_where_nothing_ever_was() {
    let provided = BootstrapFacts {
        slot: SealKeyPresence::Provided,
        ..NOTHING
    };
    assert_eq!(decide(&NOTHING, NO), Ok(StartDecision::Create { reuse: false }));
    assert_eq!(decide(&provided, NO), Ok(StartDecision::Create { reuse: true }));
    let mut refused = 0;
    for slot in [
        SealKeyPresence::Missing,
        SealKeyPresence::There,
        SealKeyPresence::Provided,
    ] {
        for anchor in [None, Some(anchor(STORE))] {
            for in_use in [false, true] {
                for prepared in [None, Some((OTHER, false)), Some((STORE, false))] {
                    let facts = BootstrapFacts {
                        slot,
                        anchor,
                        in_use,
                        prepared,
                        ..NOTHING
                    };
                    let trace = slot == SealKeyPresence::There || anchor.is_some() || in_use;
                    let decision = decide(&facts, NO);
                    assert_eq!(decision.is_err(), trace, "{facts:?}: {decision:?}");
                    refused += u32::from(decision.is_err());
                    assert!(
                        matches!(decide(&facts, NEW), Ok(StartDecision::Create { .. })),
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
        let facts = BootstrapFacts {
            store: true,
            slot: SealKeyPresence::There,
            anchor: Some(anchor(STORE)),
            ..NOTHING
        };
        assert_eq!(decide(&facts, accept), Err(BootstrapError::SealMissing));
        let facts = BootstrapFacts {
            seal: true,
            slot: SealKeyPresence::There,
            anchor: Some(anchor(STORE)),
            ..NOTHING
        };
        assert_eq!(decide(&facts, accept), Err(BootstrapError::FileMissing));
    }
}

#[test]
fn a_store_opens_with_its_key_and_its_anchor() {
    let whole = BootstrapFacts {
        store: true,
        seal: true,
        slot: SealKeyPresence::There,
        anchor: Some(anchor(STORE)),
        in_use: true,
        prepared: None,
    };
    assert_eq!(decide(&whole, NO), Ok(StartDecision::Open(anchor(STORE))));
    assert_eq!(decide(&whole, NEW), Ok(StartDecision::Open(anchor(STORE))));
    assert_eq!(decide(&whole, OLD), Ok(StartDecision::OpenAccepted));
    let no_key = BootstrapFacts {
        slot: SealKeyPresence::Missing,
        ..whole
    };
    for accept in [NO, NEW, OLD] {
        assert_eq!(decide(&no_key, accept), Err(BootstrapError::KeyMissing));
    }
    let no_anchor = BootstrapFacts {
        anchor: None,
        ..whole
    };
    assert_eq!(decide(&no_anchor, NO), Err(BootstrapError::AnchorMissing));
    assert_eq!(decide(&no_anchor, NEW), Err(BootstrapError::NotNew));
    assert_eq!(decide(&no_anchor, OLD), Ok(StartDecision::OpenAccepted));
}

#[test]
fn a_first_start_that_was_killed_is_finished() {
    let made_secret = BootstrapFacts {
        prepared: Some((STORE, true)),
        slot: SealKeyPresence::There,
        ..NOTHING
    };
    assert_eq!(decide(&made_secret, NO), Ok(StartDecision::Finish(STORE)));
    let anchored = BootstrapFacts {
        anchor: Some(anchor(STORE)),
        ..made_secret
    };
    assert_eq!(decide(&anchored, NO), Ok(StartDecision::Finish(STORE)));
    let other = BootstrapFacts {
        anchor: Some(anchor(OTHER)),
        ..made_secret
    };
    assert!(decide(&other, NO).is_err());
    let used = BootstrapFacts {
        in_use: true,
        ..anchored
    };
    assert!(decide(&used, NO).is_err());
    let provided = BootstrapFacts {
        slot: SealKeyPresence::Provided,
        ..anchored
    };
    assert_eq!(decide(&provided, NO), Ok(StartDecision::Finish(STORE)));
    let before_secret = BootstrapFacts {
        prepared: Some((STORE, false)),
        ..NOTHING
    };
    assert_eq!(
        decide(&before_secret, NO),
        Ok(StartDecision::Create { reuse: false })
    );
}
