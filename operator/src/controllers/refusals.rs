//! Objects whose value cannot be made from their spec, so that no key is generated for them again before
//! something changes. Must not decide what is refused.

use std::collections::HashMap;

use parking_lot::Mutex;
use strongroom_crds::condition::Reason;

/// What a value was refused for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct GenerationRefusal {
    /// Reason of the condition.
    pub(crate) reason: Reason,
    /// The cause in words.
    pub(crate) message: String,
}

/// What a refusal stands on: another of either may bring a value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct RefusalGrounds {
    /// The generation of the object.
    pub(crate) generation: i64,
    /// The current version, which keeps some of its keys.
    pub(crate) version: Option<String>,
    /// The names of the keys that were to be made.
    pub(crate) keys: Vec<String>,
}

/// The refusals, by UID of the object.
#[derive(Debug, Default)]
pub(crate) struct GenerationRefusals(Mutex<HashMap<String, (RefusalGrounds, GenerationRefusal)>>);

impl GenerationRefusals {
    /// What these were refused for before.
    pub(crate) fn find(&self, uid: &str, grounds: &RefusalGrounds) -> Option<GenerationRefusal> {
        let refusals = self.0.lock();
        let (refused, why) = refusals.get(uid)?;
        (refused == grounds).then(|| why.clone())
    }

    /// These are refused.
    pub(crate) fn refused(&self, uid: &str, grounds: RefusalGrounds, why: GenerationRefusal) {
        let mut refusals = self.0.lock();
        refusals.insert(uid.to_owned(), (grounds, why));
    }

    /// The object is gone, or its value was made.
    pub(crate) fn forget(&self, uid: &str) {
        self.0.lock().remove(uid);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_stands_until_something_changes() {
        let grounds = |generation, version: &str| RefusalGrounds {
            generation,
            version: Some(version.to_owned()),
            keys: vec!["tls".to_owned()],
        };
        let why = GenerationRefusal {
            reason: Reason::ValueTooLarge,
            message: "too large".to_owned(),
        };
        let refusals = GenerationRefusals::default();
        refusals.refused("u", grounds(1, "v-1"), why.clone());
        assert_eq!(refusals.find("u", &grounds(1, "v-1")), Some(why));
        assert_eq!(refusals.find("u", &grounds(2, "v-1")), None);
        assert_eq!(refusals.find("u", &grounds(1, "v-2")), None);
        assert_eq!(refusals.find("other", &grounds(1, "v-1")), None);
        refusals.forget("u");
        assert_eq!(refusals.find("u", &grounds(1, "v-1")), None);
    }
}
