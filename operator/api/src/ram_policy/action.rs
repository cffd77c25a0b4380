//! Actions: `kms:GetSecretValue` is `secrets:GetSecretValue`, `kms:Decrypt` is `keys:Decrypt`. Patterns stay
//! patterns as long as they stand for the same in both languages: RAM does not tell upper from lower case,
//! and has `?`.

use std::collections::BTreeSet;

/// Longest action of a SecretPolicy, in characters.
const ACTION_CHARACTERS: usize = 64;
/// What actions of the service begin with in RAM.
const SERVICE: &str = "kms:";

/// What an action is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ActionKind {
    Secrets,
    Keys,
}

impl ActionKind {
    const ALL: [Self; 2] = [Self::Secrets, Self::Keys];

    const fn prefix(self) -> &'static str {
        match self {
            Self::Secrets => "secrets:",
            Self::Keys => "keys:",
        }
    }
}

/// The actions that both have. `secrets:PurgeSecret` is none of KMS, so nothing there stands for it.
const SHARED: [(ActionKind, &str); 16] = [
    (ActionKind::Secrets, "CreateSecret"),
    (ActionKind::Secrets, "ListSecrets"),
    (ActionKind::Secrets, "DescribeSecret"),
    (ActionKind::Secrets, "UpdateSecret"),
    (ActionKind::Secrets, "PutSecretValue"),
    (ActionKind::Secrets, "UpdateSecretVersionStage"),
    (ActionKind::Secrets, "DeleteSecret"),
    (ActionKind::Secrets, "RestoreSecret"),
    (ActionKind::Secrets, "ListSecretVersionIds"),
    (ActionKind::Secrets, "RotateSecret"),
    (ActionKind::Secrets, "UpdateSecretRotationPolicy"),
    (ActionKind::Secrets, "SetSecretPolicy"),
    (ActionKind::Secrets, "GetSecretPolicy"),
    (ActionKind::Secrets, "GetSecretValue"),
    (ActionKind::Keys, "Decrypt"),
    (ActionKind::Keys, "GenerateDataKey"),
];

/// The actions here that one of RAM stands for; none where there is none.
pub(super) fn import(text: &str) -> Vec<String> {
    let pattern = match text.strip_prefix(SERVICE) {
        Some(pattern) => pattern,
        // Of every service.
        None if text == "*" => text,
        None => return Vec::new(),
    };
    let matched = folded(pattern);
    if is_same_here(pattern) && exact_case(pattern, &ActionKind::ALL) == matched {
        let kinds = ActionKind::ALL
            .into_iter()
            .filter(|kind| matched.iter().any(|(of, _)| of == kind));
        return kinds.map(|kind| format!("{}{pattern}", kind.prefix())).collect();
    }
    matched.iter().map(|one| named(*one)).collect()
}

/// The same actions by their names alone. What stands for none stays.
pub(super) fn in_full(actions: &[String]) -> Vec<String> {
    let mut all: Vec<String> = Vec::new();
    for action in actions {
        let found = SHARED.into_iter().filter(|(kind, name)| {
            let pattern = action.strip_prefix(kind.prefix());
            action == "*" || pattern.is_some_and(|pattern| matches(pattern, name))
        });
        let mut found: Vec<String> = found.map(named).collect();
        if found.is_empty() {
            found.push(action.clone());
        }
        all.extend(found);
    }
    let mut known = BTreeSet::new();
    all.retain(|action| known.insert(action.clone()));
    all
}

/// The actions of RAM that stand for these, or the first for which there is none.
pub(super) fn export(actions: &[String]) -> Result<Vec<String>, &str> {
    let mut all: Vec<String> = Vec::new();
    let mut add = |action: String| {
        if !all.contains(&action) {
            all.push(action);
        }
    };
    for action in actions {
        if action == "*" {
            add(format!("{SERVICE}*"));
            continue;
        }
        let of = |kind: &ActionKind| action.strip_prefix(kind.prefix());
        let found = ActionKind::ALL
            .into_iter()
            .find_map(|kind| Some((kind, of(&kind)?)));
        let (kind, pattern) = found.ok_or(action.as_str())?;
        let own = exact_case(pattern, &[kind]);
        if own.is_empty() {
            return Err(action.as_str());
        }
        let meant = |kind: &ActionKind| {
            let same = format!("{}{pattern}", kind.prefix());
            actions.iter().any(|other| *other == same || other == "*")
        };
        let kinds: Vec<ActionKind> = ActionKind::ALL.into_iter().filter(meant).collect();
        if exact_case(pattern, &kinds) == folded(pattern) {
            add(format!("{SERVICE}{pattern}"));
        } else {
            own.iter().for_each(|(_, name)| add(format!("{SERVICE}{name}")));
        }
    }
    Ok(all)
}

/// Whether a statement about these actions is about reading values.
pub(super) fn reads_values(actions: &[String]) -> bool {
    covers(actions, ActionKind::Secrets, "GetSecretValue")
}

/// Whether a statement about these actions is about reading what lies under a key.
pub(super) fn decrypts(actions: &[String]) -> bool {
    covers(actions, ActionKind::Keys, "Decrypt")
}

fn covers(actions: &[String], kind: ActionKind, name: &str) -> bool {
    let mut patterns = actions
        .iter()
        .filter_map(|action| action.strip_prefix(kind.prefix()));
    patterns.any(|pattern| matches(pattern, name))
}

fn named((kind, name): (ActionKind, &str)) -> String {
    format!("{}{name}", kind.prefix())
}

/// Whether a pattern can be one here as well.
fn is_same_here(pattern: &str) -> bool {
    let longest = ActionKind::Secrets.prefix().len() + pattern.len();
    longest <= ACTION_CHARACTERS
        && pattern
            .bytes()
            .all(|byte| byte.is_ascii_alphabetic() || byte == b'*')
}

/// The actions that a pattern stands for in RAM.
fn folded(pattern: &str) -> Vec<(ActionKind, &'static str)> {
    let pattern = pattern.to_ascii_lowercase();
    let all = SHARED.into_iter();
    all.filter(|(_, name)| matches(&pattern, &name.to_ascii_lowercase()))
        .collect()
}

/// The actions of these kinds that a pattern stands for where case counts.
fn exact_case(pattern: &str, kinds: &[ActionKind]) -> Vec<(ActionKind, &'static str)> {
    let all = SHARED.into_iter();
    all.filter(|(kind, name)| kinds.contains(kind) && matches(pattern, name))
        .collect()
}

/// Whether a text fits a pattern, in which `*` stands for any characters and `?` for one.
fn matches(pattern: &str, text: &str) -> bool {
    let (mut pattern, mut text) = (pattern.as_bytes(), text.as_bytes());
    // What is tried next where a `*` has to stand for one more.
    let mut again: Option<(&[u8], &[u8])> = None;
    loop {
        match (pattern, text) {
            ([], []) => return true,
            ([b'*', rest @ ..], _) => {
                again = Some((rest, text));
                pattern = rest;
            }
            ([p, rest @ ..], [t, left @ ..]) if *p == b'?' || p == t => (pattern, text) = (rest, left),
            _ => match again {
                Some((rest, [_, left @ ..])) => {
                    again = Some((rest, left));
                    (pattern, text) = (rest, left);
                }
                _ => return false,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn actions_of_ram_become_those_that_there_are_here() {
        for (text, expected) in [
            ("kms:GetSecretValue", &["secrets:GetSecretValue"][..]),
            ("kms:Decrypt", &["keys:Decrypt"]),
            // `kms:DescribeKey` is none here, and a secret is no key there.
            ("kms:Describe*", &["secrets:Describe*"]),
            ("kms:List*", &["secrets:List*"]),
            ("kms:*", &["secrets:*", "keys:*"]),
            ("*", &["secrets:*", "keys:*"]),
            ("kms:D*", &["secrets:D*", "keys:D*"]),
            ("kms:Gen*", &["keys:Gen*"]),
            // Case does not count there, and does here.
            ("kms:getsecretvalue", &["secrets:GetSecretValue"]),
            (
                "kms:*policy",
                &[
                    "secrets:UpdateSecretRotationPolicy",
                    "secrets:SetSecretPolicy",
                    "secrets:GetSecretPolicy",
                ],
            ),
            (
                "kms:?etSecretPolicy",
                &["secrets:SetSecretPolicy", "secrets:GetSecretPolicy"],
            ),
            ("kms:CreateKey", &[]),
            ("kms:PurgeSecret", &[]),
            ("kms:Purge*", &[]),
            ("kms:", &[]),
            ("ecs:*", &[]),
            ("", &[]),
        ] {
            assert_eq!(import(text), expected, "{text}");
        }
        let long = format!("kms:{}GetSecretValue", "*".repeat(60));
        assert_eq!(import(&long), ["secrets:GetSecretValue"]);
    }

    #[test]
    fn actions_go_out_as_what_means_no_more() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        for (actions, expected) in [
            (
                &["secrets:GetSecretValue", "keys:Decrypt"][..],
                &["kms:GetSecretValue", "kms:Decrypt"][..],
            ),
            (&["secrets:*", "keys:*"], &["kms:*"]),
            (&["*"], &["kms:*"]),
            // `kms:De*` would be about keys too.
            (&["secrets:De*"], &["kms:DescribeSecret", "kms:DeleteSecret"]),
            (&["keys:De*"], &["kms:Decrypt"]),
            (&["secrets:De*", "keys:De*"], &["kms:De*"]),
            (&["secrets:List*", "secrets:List*"], &["kms:List*"]),
            // In RAM it would be about `SetSecretPolicy` too.
            (&["secrets:*etsecret*", "secrets:ListSecrets"], &[]),
        ] {
            let actions = texts(actions);
            let read = export(&actions);
            if expected.is_empty() {
                assert_eq!(read, Err(actions[0].as_str()));
                continue;
            }
            let read = read.unwrap();
            assert_eq!(read, expected, "{actions:?}");
            let mut again: Vec<String> = read.iter().flat_map(|text| import(text)).collect();
            let mut covered: Vec<(ActionKind, &str)> = Vec::new();
            for action in again.drain(..) {
                for kind in ActionKind::ALL {
                    covered.extend(
                        action
                            .strip_prefix(kind.prefix())
                            .into_iter()
                            .flat_map(|p| exact_case(p, &[kind])),
                    );
                }
            }
            let meant = |(kind, name): (ActionKind, &str)| actions[0] == "*" || covers(&actions, kind, name);
            for one in SHARED {
                assert_eq!(covered.contains(&one), meant(one), "{actions:?}: {one:?}");
            }
        }
        assert_eq!(
            export(&texts(&["secrets:PurgeSecret"])),
            Err("secrets:PurgeSecret")
        );
        assert_eq!(export(&texts(&["ListSecrets"])), Err("ListSecrets"));
    }

    #[test]
    fn patterns_give_way_to_the_names_that_they_stand_for() {
        let full = |texts: &[&str]| {
            let texts: Vec<String> = texts.iter().map(|text| (*text).to_owned()).collect();
            in_full(&texts)
        };
        assert_eq!(
            full(&[
                "keys:*",
                "secrets:Get*Value",
                "keys:Decrypt",
                "secrets:PurgeSecret"
            ]),
            [
                "keys:Decrypt",
                "keys:GenerateDataKey",
                "secrets:GetSecretValue",
                "secrets:PurgeSecret"
            ]
        );
        assert_eq!(full(&["*"]).len(), SHARED.len());
    }

    #[test]
    fn wildcards_stand_for_what_they_should() {
        for (pattern, text, expected) in [
            ("", "", true),
            ("*", "", true),
            ("?", "", false),
            ("a*b*c", "aXbXbc", true),
            ("a*b?c", "aXbbXc", true),
            ("a*a", "a", false),
            ("*ab", "aab", true),
            ("ab", "abc", false),
            ("**", "abc", true),
        ] {
            assert_eq!(matches(pattern, text), expected, "{pattern} {text}");
        }
    }
}
