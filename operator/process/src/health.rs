//! Whether the process lives, and whether it is ready. Must not check anything itself: the parts of the
//! process report their state.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;

/// One thing that must be right before the process is ready.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Check {
    /// It is right.
    Ready,
    /// It is not, and why.
    Waiting(String),
    /// The process should be restarted, and why.
    Dead(String),
}

/// What is known of all of them; cheap to clone.
#[derive(Clone, Debug, Default)]
pub struct Health(Arc<Mutex<BTreeMap<&'static str, Check>>>);

impl Health {
    /// Says how one thing stands.
    pub fn set(&self, name: &'static str, check: Check) {
        self.0.lock().insert(name, check);
    }

    /// Whether everything is right; else what is not.
    pub fn readiness(&self) -> Result<(), String> {
        self.report(|check| match check {
            Check::Ready => None,
            Check::Waiting(why) | Check::Dead(why) => Some(why.clone()),
        })
    }

    /// Whether a restart is of no use; else why it would be.
    pub fn liveness(&self) -> Result<(), String> {
        self.report(|check| match check {
            Check::Ready | Check::Waiting(_) => None,
            Check::Dead(why) => Some(why.clone()),
        })
    }

    fn report(&self, wrong: impl Fn(&Check) -> Option<String>) -> Result<(), String> {
        let checks = self.0.lock();
        let lines: Vec<String> = checks
            .iter()
            .filter_map(|(name, check)| Some(format!("{name}: {}", wrong(check)?)))
            .collect();
        if lines.is_empty() {
            Ok(())
        } else {
            Err(lines.join("\n"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waiting_is_alive_and_dead_is_not() {
        let health = Health::default();
        assert_eq!(health.readiness(), Ok(()));
        health.set("store", Check::Ready);
        health.set("lease", Check::Waiting("held by strongroom-1".into()));
        assert_eq!(health.readiness(), Err("lease: held by strongroom-1".into()));
        assert_eq!(health.liveness(), Ok(()));
        health.set("store", Check::Dead("poisoned".into()));
        assert_eq!(health.liveness(), Err("store: poisoned".into()));
        health.set("store", Check::Ready);
        health.set("lease", Check::Ready);
        assert_eq!(health.readiness(), Ok(()));
    }
}
