//! Whether a backup is restored into a cluster, pure: each request is carried out once, and never over
//! existing secrets unless it says so explicitly.

use strongroom_model::id::StoreId;

/// What lies in the volume where the store belongs.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum StorePlace {
    /// No store, and nothing else.
    Vacant,
    /// A store without a secret that anybody but Strongroom made, as a first start leaves it.
    Fresh(StoreId),
    /// A store with so many secrets.
    InUse(u64),
    /// Something that no available key opens, or half a store.
    Unknown,
}

/// What was found before anything is written.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct RestoreFacts {
    /// The anchor says that this request was carried out.
    pub(crate) done: bool,
    /// The restored store that the anchor is of waits beside its place.
    pub(crate) staged: bool,
    pub(crate) place: StorePlace,
    /// `--replace-store`: what is at the place may give way.
    pub(crate) replace: bool,
}

/// How the restore goes on.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum RestoreDecision {
    /// It was carried out: nothing is touched, whatever became of the store since.
    Leave,
    /// Its anchor is written: the staged store only needs to be put in place.
    Finish,
    /// The backup is read.
    Begin,
}

/// A restore that a person has to decide about.
#[derive(Clone, Copy, PartialEq, Eq, Debug, thiserror::Error)]
pub(crate) enum RestoreRefusal {
    /// Secrets would be lost.
    #[error(
        "there is a store with {0} secrets in the volume, and nothing was changed: take `restore` out of the values to go on with it, or replace it with \
         --replace-store (`restore.replaceStore` of the chart), which keeps it in the volume beside the restored one"
    )]
    InUse(u64),
    /// Perhaps secrets would be lost.
    #[error(
        "there is a store in the volume that does not open with the root key of this cluster, or a part of one, and nothing was changed: replace it with \
         --replace-store (`restore.replaceStore` of the chart), which keeps it in the volume beside the restored one"
    )]
    Unknown,
    /// Another store was here.
    #[error(
        "the anchor (ConfigMap `strongroom-anchor`) belongs to another store than the backup: its volume may be missing, and nothing was changed; bring it \
         back, or give that store up with --replace-store (`restore.replaceStore` of the chart)"
    )]
    OtherAnchor,
}

/// Decides what is done before the backup is read.
pub(crate) fn decide_restore(facts: &RestoreFacts) -> Result<RestoreDecision, RestoreRefusal> {
    let decision = match (facts.done, facts.staged) {
        (true, false) => return Ok(RestoreDecision::Leave),
        (true, true) => RestoreDecision::Finish,
        (false, _) => RestoreDecision::Begin,
    };
    match facts.place {
        StorePlace::Vacant | StorePlace::Fresh(_) => Ok(decision),
        _ if facts.replace => Ok(decision),
        StorePlace::InUse(secrets) => Err(RestoreRefusal::InUse(secrets)),
        StorePlace::Unknown => Err(RestoreRefusal::Unknown),
    }
}

/// Decides whether the anchor gives way to that of the restored store. `anchored` is the store that it
/// belongs to; none inside where it cannot be read.
pub(crate) fn decide_anchor(
    anchored: Option<Option<StoreId>>,
    restored: StoreId,
    facts: &RestoreFacts,
) -> Result<(), RestoreRefusal> {
    let gives_way = match (anchored, facts.place) {
        (None, _) => true,
        (Some(Some(store)), StorePlace::Fresh(fresh)) => store == restored || store == fresh,
        (Some(store), _) => store == Some(restored),
    };
    if gives_way || facts.replace {
        Ok(())
    } else {
        Err(RestoreRefusal::OtherAnchor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BACKUP: StoreId = StoreId::from_bytes([1; 16]);
    const OTHER: StoreId = StoreId::from_bytes([2; 16]);

    const PLACES: [StorePlace; 4] = [
        StorePlace::Vacant,
        StorePlace::Fresh(OTHER),
        StorePlace::InUse(3),
        StorePlace::Unknown,
    ];

    fn facts(place: StorePlace) -> RestoreFacts {
        RestoreFacts {
            done: false,
            staged: false,
            place,
            replace: false,
        }
    }

    #[test]
    fn a_request_is_carried_out_once_whatever_became_of_the_store() {
        for place in PLACES {
            for replace in [false, true] {
                let done = RestoreFacts {
                    done: true,
                    replace,
                    ..facts(place)
                };
                assert_eq!(decide_restore(&done), Ok(RestoreDecision::Leave), "{place:?}");
            }
        }
    }

    #[test]
    fn secrets_give_way_only_to_a_word_of_their_own_also_where_it_was_cut_off() {
        for (done, staged, decision) in [
            (false, false, RestoreDecision::Begin),
            (false, true, RestoreDecision::Begin),
            (true, true, RestoreDecision::Finish),
        ] {
            let decide = |place, replace| {
                decide_restore(&RestoreFacts {
                    done,
                    staged,
                    place,
                    replace,
                })
            };
            assert_eq!(
                PLACES.map(|place| decide(place, false)),
                [
                    Ok(decision),
                    Ok(decision),
                    Err(RestoreRefusal::InUse(3)),
                    Err(RestoreRefusal::Unknown),
                ]
            );
            assert_eq!(PLACES.map(|place| decide(place, true)), [Ok(decision); 4]);
        }
    }

    #[test]
    fn the_anchor_of_another_store_gives_way_only_with_that_store() {
        for (anchored, place, gives_way) in [
            (None, StorePlace::Vacant, true),
            (Some(Some(BACKUP)), StorePlace::Vacant, true),
            (Some(Some(OTHER)), StorePlace::Vacant, false),
            (Some(None), StorePlace::Vacant, false),
            (None, StorePlace::Fresh(OTHER), true),
            (Some(Some(OTHER)), StorePlace::Fresh(OTHER), true),
            (Some(Some(BACKUP)), StorePlace::Fresh(OTHER), true),
            (Some(Some(OTHER)), StorePlace::Fresh(BACKUP), false),
            (Some(None), StorePlace::Fresh(OTHER), false),
            (Some(Some(OTHER)), StorePlace::InUse(1), false),
            (Some(Some(OTHER)), StorePlace::Unknown, false),
        ] {
            let decided = decide_anchor(anchored, BACKUP, &facts(place));
            assert_eq!(decided.is_ok(), gives_way, "{anchored:?} {place:?}");
            let replace = RestoreFacts {
                replace: true,
                ..facts(place)
            };
            assert_eq!(decide_anchor(anchored, BACKUP, &replace), Ok(()));
        }
    }
}
