//! Picks the version that a read is about. The decision and the read use the same version, whatever a writer
//! does in between.

use strongroom_model::name::{Stage, VersionId};
use strongroom_store::audit::Durability;
use strongroom_store::vault::{GetValue, Refusal, SecretState, SecretView, VersionView};

/// How a read names a version: Current where it names neither.
#[derive(Clone, Copy, Debug)]
pub(super) struct RequestedVersion<'a> {
    pub(super) stage: Option<&'a Stage>,
    pub(super) id: Option<&'a VersionId>,
}

impl RequestedVersion<'_> {
    /// The version, if it is there: the one that policies are asked about.
    pub(super) fn find_in<'a>(&self, secret: &'a SecretView) -> Option<&'a VersionView> {
        let id = match (self.id, self.stage) {
            (Some(id), _) => id,
            (None, stage) => secret.stages.get(stage.unwrap_or(&Stage::Current))?,
        };
        secret.versions.iter().find(|version| version.id == *id)
    }

    /// What the store is asked for, after a decision about `found`.
    ///
    /// INVARIANT: the version that is opened is the one that was decided about, with the stages that it had
    /// then. Where none was found nothing is opened, whatever came in between: a Deny of its stage was not
    /// asked.
    ///
    /// # Errors
    /// The store's refusal of a version that is not there, or of a secret that is not live.
    pub(super) fn opening(
        &self,
        secret: &SecretView,
        found: Option<&VersionView>,
        durability: Durability,
    ) -> Result<GetValue, Refusal> {
        if let SecretState::PendingDeletion { until, .. } = secret.state {
            return Err(Refusal::InRecoveryWindow { until });
        }
        let Some(version) = found else {
            return Err(match self.id {
                Some(_) => Refusal::VersionNotFound,
                None => Refusal::StageNotFound(self.stage.unwrap_or(&Stage::Current).to_string()),
            });
        };
        match self.stage {
            Some(stage) if !secret.stages.contains_key(stage) => {
                return Err(Refusal::StageNotFound(stage.to_string()));
            }
            Some(stage) if !version.stages.contains(stage) => {
                return Err(Refusal::StageMismatch(stage.to_string()));
            }
            _ => {}
        }
        Ok(GetValue {
            secret: secret.id,
            version: Some(version.id.clone()),
            stage: self.stage.filter(|_| self.id.is_some()).cloned(),
            durability,
            detail: String::new(),
        })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::sample::select;
    use strongroom_model::id::SecretId;
    use strongroom_store::vault::{PutValue, Store, UpdateStage};
    use strongroom_testing::store::{Fixture, meta, value};

    use super::*;

    /// What a writer does.
    #[derive(Clone, Copy, Debug)]
    enum Write {
        /// A new version with this stage.
        Put(&'static str),
        /// The stage `Pending` on the version of this number, or off the one that has it.
        Pending(Option<usize>),
    }

    fn writes() -> impl Strategy<Value = Vec<Write>> {
        let write = prop_oneof![
            select(vec!["Pending", "Current", "mine"]).prop_map(Write::Put),
            prop::option::of(0_usize..4).prop_map(Write::Pending),
        ];
        prop::collection::vec(write, 0..4)
    }

    fn apply(store: &Store, id: SecretId, writes: &[Write], count: &mut usize) {
        for write in writes {
            let view = store.describe(id).unwrap();
            match write {
                Write::Put(stage) => {
                    *count += 1;
                    let version = format!("v-{count}");
                    let put = PutValue {
                        secret: id,
                        value: value(&version),
                        version: version.parse().unwrap(),
                        stages: vec![stage.parse().unwrap()],
                    };
                    store.run(put, meta()).unwrap();
                }
                Write::Pending(to) => {
                    let update = UpdateStage {
                        secret: id,
                        stage: Stage::Pending,
                        move_to: to.map(|to| format!("v-{to}").parse().unwrap()),
                        remove_from: view.stages.get(&Stage::Pending).cloned(),
                    };
                    // A version that is not there, or nothing to move.
                    let _ = store.run(update, meta());
                }
            }
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 60, ..ProptestConfig::default() })]
        /// A writer runs between the decision and the opening. What is opened is what was decided about, so
        /// that a Deny of a stage holds.
        #[test]
        fn nothing_is_opened_that_was_not_decided_about(
            before in writes(),
            between in writes(),
            stage in prop::option::of(select(vec!["Pending", "Current", "mine"])),
            id in prop::option::of(0_usize..6),
        ) {
            let fixture = Fixture::new();
            let (store, secret) = (&fixture.store, fixture.secret_with("db", "v-0"));
            let mut count = 0;
            apply(store, secret, &before, &mut count);
            let view = store.describe(secret).unwrap();
            let stage: Option<Stage> = stage.map(|stage| stage.parse().unwrap());
            let version: Option<VersionId> = id.map(|id| format!("v-{id}").parse().unwrap());
            let asked = RequestedVersion { stage: stage.as_ref(), id: version.as_ref() };
            let found = asked.find_in(&view);
            // The decision: `Deny` for the stage `Pending`, beside a broad `Allow`.
            let denied = found.is_some_and(|found| found.stages.contains(&Stage::Pending));
            apply(store, secret, &between, &mut count);
            let opened = asked
                .opening(&view, found, Durability::Batched)
                .map(|get| store.value(&get, &meta()));
            if let Ok(Ok(read)) = opened {
                let found = found.map(|found| &found.id);
                prop_assert_eq!(Some(&read.version.id), found);
                prop_assert!(denied || stage != Some(Stage::Pending));
            }
        }
    }
}
