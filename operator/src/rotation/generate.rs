//! `generate`: makes keys again as the ManagedSecret's `source.generate` says. No other system is told.

use strongroom_crds::v1alpha1::{
    GenerateRotator, KeySource, ManagedSecretSpec, Rotator as RotatorSpec, Source,
};
use strongroom_rules::generate;
use strongroom_rules::rotation::RotationRefusal;

use super::Rotator;

impl Rotator for GenerateRotator {
    fn refusal(&self, schedule: &str, spec: &ManagedSecretSpec) -> Option<RotationRefusal> {
        let Source::Generate(source) = &spec.source else {
            return None;
        };
        let rotates = |key: &str| source.keys.get(key).is_some_and(generate::rotates);
        let unknown = self.keys.as_ref()?.iter().find(|key| !rotates(key))?;
        Some(RotationRefusal::UnknownKey {
            schedule: schedule.to_owned(),
            key: unknown.clone(),
            made: source.keys.keys().filter(|key| rotates(key)).cloned().collect(),
        })
    }

    fn makes_anew(&self, key: &str, source: &KeySource) -> bool {
        let named = |keys: &Vec<String>| keys.iter().any(|named| named == key);
        generate::rotates(source) && self.keys.as_ref().is_none_or(named)
    }

    fn applied(&self) -> RotatorSpec {
        RotatorSpec::Generate(Self::default())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn spec() -> ManagedSecretSpec {
        let keys = json!({"password": {"password": {}}, "token": {"uuid": {}}, "user": {"literal": "app"}});
        serde_json::from_value(json!({"source": {"generate": {"keys": keys}}})).unwrap()
    }

    fn naming(keys: Option<&[&str]>) -> GenerateRotator {
        GenerateRotator {
            keys: keys.map(|keys| keys.iter().map(|key| (*key).to_owned()).collect()),
        }
    }

    #[test]
    fn what_is_named_is_made_anew_and_else_all_that_is_no_literal() {
        let spec = spec();
        let Source::Generate(source) = &spec.source else {
            unreachable!()
        };
        let table: [(Option<&[&str]>, &[&str]); 3] = [
            (None, &["password", "token"]),
            (Some(&["token"]), &["token"]),
            (Some(&["user", "absent"]), &[]),
        ];
        for (named, expected) in table {
            let rotator = naming(named);
            let keys = source.keys.iter();
            let made: Vec<&str> = keys
                .filter(|(key, source)| rotator.makes_anew(key, source))
                .map(|(key, _)| key.as_str())
                .collect();
            assert_eq!(made, expected, "{named:?}");
        }
    }

    #[test]
    fn a_key_that_is_not_made_is_refused_by_its_name() {
        let refused = |keys: Option<&[&str]>| naming(keys).refusal("daily", &spec());
        assert_eq!(refused(None), None);
        assert_eq!(refused(Some(&["password", "token"])), None);
        for key in ["user", "passwrd"] {
            let expected = RotationRefusal::UnknownKey {
                schedule: "daily".to_owned(),
                key: key.to_owned(),
                made: vec!["password".to_owned(), "token".to_owned()],
            };
            assert_eq!(refused(Some(&["token", key])), Some(expected));
        }
    }

    #[test]
    fn the_api_leaves_settings_with_whoever_made_them() {
        let bare = RotatorSpec::Generate(GenerateRotator::default());
        assert_eq!(naming(Some(&["token"])).applied(), bare);
    }
}
