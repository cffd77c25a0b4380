//! What an engine must hold whatever became of its process, its power or its disk: all that it acknowledged,
//! and the one commit whose answer was lost whole or not at all.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use strongroom_model::id::RequestId;
use strongroom_store::engine::*;

type Contents = BTreeMap<(Table, Vec<u8>), Vec<u8>>;

/// What must be found: this, or this and the undecided batch.
#[derive(Default)]
pub struct Expected {
    pub revision: u64,
    pub undecided: Option<Batch>,
    contents: Contents,
    requests: BTreeMap<RequestId, Revision>,
}

impl Expected {
    /// The engine says that it committed this, next.
    pub fn acknowledge(&mut self, batch: &Batch) {
        self.revision += 1;
        for change in &batch.changes {
            let place = (change.table(), change.key().to_vec());
            match change.value() {
                Some(value) => self.contents.insert(place, value.to_vec()),
                None => self.contents.remove(&place),
            };
        }
        let revision = Revision(self.revision);
        let requests = batch.requests.iter();
        self.requests.extend(requests.map(|request| (*request, revision)));
    }

    /// Whether it is committed. If nobody can say, it is undecided; after an error it certainly is not.
    pub fn commit(&mut self, engine: &dyn Engine, batch: Batch) -> Result<bool, EngineError> {
        match engine.commit(&batch)? {
            CommitOutcome::Committed(revision) => {
                self.acknowledge(&batch);
                assert_eq!(revision.0, self.revision);
                Ok(true)
            }
            CommitOutcome::Unknown => {
                self.undecided = Some(batch);
                Ok(false)
            }
            CommitOutcome::Conflict(_) => panic!("there was no precondition"),
        }
    }

    /// Commits these until one is refused. Why it is, and how many were undecided before.
    pub fn fill(&mut self, engine: &dyn Engine, batches: impl Iterator<Item = Batch>) -> (EngineError, u32) {
        let mut undecided = 0;
        for batch in batches {
            match self.commit(engine, batch) {
                Ok(true) => {}
                Ok(false) => {
                    self.holds(engine, "after an unknown outcome");
                    undecided += 1;
                }
                Err(error) => return (error, undecided),
            }
        }
        panic!("nothing was refused")
    }

    /// Whether just that is there. What was undecided is decided by it.
    pub fn check(&mut self, engine: &dyn Engine) -> Result<(), String> {
        let said = |error: EngineError| error.to_string();
        let (revision, found) = contents(engine).map_err(said)?;
        if let Some(batch) = self.undecided.take() {
            let mut expected = BTreeMap::new();
            if revision == self.revision + 1 {
                self.acknowledge(&batch);
                expected.extend(
                    batch
                        .requests
                        .iter()
                        .map(|request| (*request, Revision(revision))),
                );
            }
            let committed = engine.resolve(&batch.requests).map_err(said)?;
            if committed != expected {
                return Err(format!(
                    "of the undecided commit it says {committed:?} at revision {revision}"
                ));
            }
        }
        if revision != self.revision {
            return Err(format!(
                "revision {revision} for {}: a commit is lost or invented",
                self.revision
            ));
        }
        if found != self.contents {
            return Err("a commit is torn".to_owned());
        }
        Ok(())
    }

    /// Just that is there.
    pub fn holds(&mut self, engine: &dyn Engine, context: &str) {
        self.check(engine)
            .unwrap_or_else(|why| panic!("{context}: {why}"));
    }

    /// Whether every request that was acknowledged is known still.
    pub fn check_requests(&self, engine: &dyn Engine) -> Result<(), String> {
        let all: Vec<RequestId> = self.requests.keys().copied().collect();
        let known = engine.resolve(&all).map_err(|error| error.to_string())?;
        if known != self.requests {
            return Err(format!("of {} requests {} are known", all.len(), known.len()));
        }
        Ok(())
    }
}

/// The revision, and every record.
pub fn contents(engine: &dyn Engine) -> Result<(u64, Contents), EngineError> {
    let snapshot = engine.snapshot()?;
    let mut found = Contents::new();
    for table in Table::ALL {
        snapshot.visit(table, &mut |key, value| {
            found.insert((table, key.to_vec()), value.to_vec());
            ControlFlow::Continue(())
        })?;
    }
    Ok((snapshot.revision().0, found))
}
