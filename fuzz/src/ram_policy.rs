//! Policies of RAM. Whoever imports one has it from somebody else, and gives rights away by it.

use strongroom_api::ram_policy::{
    ImportedPolicy, PolicyTarget, RamAccounts, RamExportError, RamPolicyError, export, import,
};
use strongroom_crds::annotation::RAM_POLICY;
use strongroom_crds::v1alpha1::SecretPolicySpec;
use strongroom_rules::policy::{Action, check, name_matches};

/// The namespace that they are imported in.
const NAMESPACE: &str = "shop";
/// Longest error: a path has sixteen steps, and each text of the policy is cut.
const ERROR_BYTES: usize = 32 << 10;

fn targets() -> [PolicyTarget; 2] {
    [
        PolicyTarget::ServiceAccounts(vec!["checkout".to_owned()]),
        PolicyTarget::Secrets(vec!["ai-gateway!secret-name".to_owned()]),
    ]
}

fn accounts() -> RamAccounts {
    "123456789012****=shop,210987654321****=pay"
        .parse()
        .unwrap_or_default()
}

/// Reads a policy as it is for one of both, or says why it is for none.
///
/// # Errors
/// Why it is not one for secrets.
pub fn read(text: &str) -> Result<ImportedPolicy, RamPolicyError> {
    let [identities, secrets] = targets();
    let accounts = accounts();
    import(text, NAMESPACE, &identities, &accounts).or_else(|_| import(text, NAMESPACE, &secrets, &accounts))
}

/// Imports a policy: what comes in compiles, goes out as it was written, and from what it says alone as one
/// that comes in as the same. What is refused has a place in the text.
pub fn run(input: &[u8]) {
    let Ok(text) = std::str::from_utf8(input) else {
        return;
    };
    for target in targets() {
        match import(text, NAMESPACE, &target, &accounts()) {
            Ok(imported) => came_in(text, &target, &imported),
            Err(error) => {
                let lines = text.split('\n').count();
                assert!((1..=lines).contains(&error.line), "{error}");
                let line = text.split('\n').nth(error.line - 1).unwrap_or_default();
                assert!((1..=line.chars().count() + 1).contains(&error.column), "{error}");
                let said = error.to_string();
                assert!(said.len() <= ERROR_BYTES, "an error of {} bytes", said.len());
            }
        }
    }
}

/// The policy with all actions by their names: what an Allow says of keys goes out without patterns.
fn in_full(spec: &SecretPolicySpec) -> SecretPolicySpec {
    let mut spec = spec.clone();
    for statement in &mut spec.statements {
        let patterns = std::mem::take(&mut statement.actions);
        let is_meant = |action: &Action| {
            let name = action.as_str();
            let covers = |pattern: &String| name_matches(pattern, name);
            // No pattern of an Allow stands for it, and no policy of RAM names it.
            patterns.iter().any(covers) && !action.destroys()
        };
        let meant = Action::ALL.iter().filter(|action| is_meant(action));
        statement.actions = meant.map(|action| action.as_str().to_owned()).collect();
    }
    spec
}

fn came_in(text: &str, target: &PolicyTarget, imported: &ImportedPolicy) {
    let compiled = check(NAMESPACE, &imported.spec);
    assert!(compiled.is_ok(), "{compiled:?}");
    let out = export(NAMESPACE, &imported.spec, &imported.annotations);
    assert_eq!(out.as_deref(), Ok(text), "it does not go out as it was written");
    let mut kept = imported.annotations.clone();
    kept.remove(RAM_POLICY);
    match export(NAMESPACE, &imported.spec, &kept) {
        Ok(out) => {
            let again = import(&out, NAMESPACE, target, &accounts()).map(|again| in_full(&again.spec));
            assert_eq!(again, Ok(in_full(&imported.spec)), "{out}");
        }
        // It is laid out, and so may become too long.
        Err(RamExportError::TooLarge(_)) => {}
        Err(error) => assert_eq!(error.to_string(), "", "what came in does not go out"),
    }
}
