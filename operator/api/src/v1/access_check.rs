//! The troubleshooting list: what can stand between a principal and a secret, what each check comes to, and
//! the command that mends it. The process and `kubectl strongroom explain` make their checks of it, and so is
//! the page `docs/troubleshooting.md`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct AccessCheck {
    /// Name of the check: which of the things that can stand in the way was looked at.
    pub check: AccessCheckName,
    /// Which of several: `service`, `ca` and `egress` of `network`; absent where there is but one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// Whether it stands in the way; it follows from `result`.
    pub state: AccessCheckState,
    /// What it came to (docs/troubleshooting.md).
    pub result: AccessCheckResult,
    /// What was found, or what it takes to find it.
    pub detail: String,
    /// A command that mends it; absent where nothing is to be mended, or no command does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl AccessCheck {
    /// A check that came to this.
    #[must_use]
    pub fn new(check: AccessCheckName, result: AccessCheckResult, detail: impl Into<String>) -> Self {
        Self {
            check,
            item: None,
            state: result.state(),
            result,
            detail: detail.into(),
            remedy: None,
        }
    }

    /// The same with the command of its result, in which these words stand for these names.
    #[must_use]
    pub fn mended_with(self, names: &[(&str, &str)]) -> Self {
        Self {
            remedy: self.result.remedy().map(|template| filled(template, names)),
            ..self
        }
    }

    /// The same with a command that is made for it alone.
    #[must_use]
    pub fn mended_by(self, command: String) -> Self {
        Self {
            remedy: Some(command),
            ..self
        }
    }

    /// It is about this one of several.
    #[must_use]
    pub fn of_item(self, item: &str) -> Self {
        Self {
            item: Some(item.to_owned()),
            ..self
        }
    }
}

/// What can be looked at, in the order in which it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessCheckName {
    /// Policies, or RBAC, let the principal do it.
    Permission,
    /// The secret is in a state, and has a version, with which it can be done.
    Secret,
    /// The gateway is there, and a pod of the principal reaches it and trusts it.
    Network,
    /// The EncryptionKey is enabled, and the principal may use it.
    Key,
    /// The principal and its namespace have requests left.
    Rate,
    /// The product that owns the secret leaves it to the principal.
    Product,
    /// The product may have another secret.
    Quota,
    /// Who the principal is, is known to Strongroom or to the cluster.
    Credentials,
}

impl AccessCheckName {
    /// Each, in the order in which it is looked at.
    pub const ALL: [Self; 8] = [
        Self::Permission,
        Self::Secret,
        Self::Network,
        Self::Key,
        Self::Rate,
        Self::Product,
        Self::Quota,
        Self::Credentials,
    ];

    /// What a person calls it.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Permission => "permission",
            Self::Secret => "secret",
            Self::Network => "network",
            Self::Key => "key",
            Self::Rate => "rate",
            Self::Product => "product",
            Self::Quota => "quota",
            Self::Credentials => "credentials",
        }
    }

    /// The question that the check answers, in plain words.
    #[must_use]
    pub const fn question(self) -> &'static str {
        match self {
            Self::Permission => "Do policies, or RBAC, allow it?",
            Self::Secret => "Is the secret in a state in which it can be done?",
            Self::Network => "Does a pod of the caller reach the gateway, and trust it?",
            Self::Key => "Is the EncryptionKey enabled, and may the caller use it?",
            Self::Rate => "Have the caller and its namespace requests left?",
            Self::Product => "Does the product that owns the secret leave it to the caller?",
            Self::Quota => "May the product have another secret?",
            Self::Credentials => "Is it known who the caller is?",
        }
    }

    /// Who looks.
    #[must_use]
    pub const fn made_by(self) -> &'static str {
        match self {
            Self::Permission | Self::Secret | Self::Key | Self::Rate | Self::Product | Self::Quota => {
                "Strongroom"
            }
            Self::Network | Self::Credentials => {
                "Strongroom, and `kubectl strongroom` with your own rights in the cluster"
            }
        }
    }

    /// All that it can come to.
    #[must_use]
    pub const fn results(self) -> &'static [AccessCheckResult] {
        use AccessCheckResult as R;
        match self {
            Self::Permission => &[
                R::Allowed,
                R::AllowedByRbac,
                R::PolicyDenied,
                R::MissingIdentity,
                R::MissingSecret,
                R::DeniedBy,
                R::NotAllowable,
                R::ProductDecides,
            ],
            Self::Secret => &[
                R::Normal,
                R::Restorable,
                R::NameFree,
                R::InRecoveryWindow,
                R::NoCurrent,
                R::NoStage,
                R::NameTaken,
                R::NothingToRestore,
                R::Absent,
            ],
            Self::Network => &[
                R::Reachable,
                R::OverApiServer,
                R::CaThere,
                R::EgressOpen,
                R::NeverSeen,
                R::NoSuchGateway,
                R::FreeOnDedicated,
                R::OrdinarySecret,
                R::OtherGateway,
                R::NoService,
                R::NoEndpoints,
                R::CaMissing,
                R::EgressBlockedBy,
                R::EgressUnclear,
                R::NotVisible,
            ],
            Self::Key => &[
                R::KeyUsable,
                R::NoKey,
                R::KeyUnused,
                R::KeyNotGranted,
                R::KeyDisabled,
                R::KeyPendingDeletion,
                R::KeyDestroyed,
                R::KeyAbsent,
            ],
            Self::Rate => &[R::Left, R::Unlimited, R::Throttled, R::NotVisible],
            Self::Product => &[
                R::NoProduct,
                R::Manager,
                R::User,
                R::ManagedBy,
                R::HostingRefused,
                R::KeyRequired,
                R::NoSecretPolicies,
                R::ProductUnknown,
                R::ProductAbsent,
                R::ProductChanged,
                R::ProductSuspended,
                R::NamespaceNotSelected,
            ],
            Self::Quota => &[R::NoQuota, R::Within, R::QuotaExceeded],
            Self::Credentials => &[
                R::Accepted,
                R::AccountExists,
                R::NotShown,
                R::NoSuchAccount,
                R::NotVisible,
            ],
        }
    }
}

/// Whether a check stands in the way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub enum AccessCheckState {
    /// It does not.
    Passing,
    /// It does.
    Failing,
    /// It could not be told.
    Unknown,
    /// There is nothing to look at.
    Irrelevant,
}

impl AccessCheckState {
    /// The word for it on a screen.
    #[must_use]
    pub const fn label(self) -> &'static str {
        match self {
            Self::Passing => "ok",
            Self::Failing => "failing",
            Self::Unknown => "unknown",
            Self::Irrelevant => "-",
        }
    }
}

macro_rules! results {
    ($($(#[doc = $doc:literal])+ $name:ident = $state:ident, $remedy:expr;)+) => {
        /// What a check came to.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
        pub enum AccessCheckResult {
            $($(#[doc = $doc])+ $name,)+
        }

        impl AccessCheckResult {
            /// Every result, in the order of their declaration.
            pub const ALL: &'static [Self] = &[$(Self::$name,)+];

            /// The result as it is written.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name),)+ }
            }

            /// Whether it stands in the way.
            #[must_use]
            pub const fn state(self) -> AccessCheckState {
                match self { $(Self::$name => AccessCheckState::$state,)+ }
            }

            /// What it means, and what to do.
            #[must_use]
            pub const fn meaning(self) -> &'static str {
                match self { $(Self::$name => concat!($($doc),+),)+ }
            }

            /// The command that mends it. Words of capitals stand for names.
            #[must_use]
            pub const fn remedy(self) -> Option<&'static str> {
                match self { $(Self::$name => $remedy,)+ }
            }
        }
    };
}

results! {
    /// A statement allows it, or the product's own rights do.
    Allowed = Passing, None;
    /// `get` on the ManagedSecret by RBAC allows it.
    AllowedByRbac = Passing, None;
    /// No policy allows it. The command is printed with the SecretPolicies that are missing.
    PolicyDenied = Failing, Some("kubectl apply -f POLICY");
    /// The secret's namespace allows it, and no identity policy of the caller's own namespace does: from
    /// another namespace both must. The command is printed with the SecretPolicy that is missing.
    MissingIdentity = Failing, Some("kubectl apply -f POLICY");
    /// The caller's own namespace allows it, and no secret policy of the secret's namespace does: from
    /// another namespace both must. The command is printed with the SecretPolicy that is missing.
    MissingSecret = Failing, Some("kubectl apply -f POLICY");
    /// A Deny wins over everything that allows it. Change the statement, or ask whoever wrote it.
    DeniedBy = Failing, Some("kubectl -n NAMESPACE edit secretpolicy POLICY");
    /// No policy can allow it: the product's secret has identity policies alone, and the caller is of another
    /// namespace. Read it as a ServiceAccount of the secret's own namespace.
    NotAllowable = Failing, Some("kubectl strongroom -n NAMESPACE explain secret NAME --as serviceaccount/ACCOUNT");
    /// The product refuses it before any policy, or the gateway does; see the checks `product` and `network`.
    ProductDecides = Irrelevant, None;

    /// It can be done with the secret as it is.
    Normal = Passing, None;
    /// The secret is in its recovery window, from which RestoreSecret brings it back.
    Restorable = Passing, None;
    /// No secret has the name, so that CreateSecret can make it.
    NameFree = Passing, None;
    /// The secret was deleted, and can be restored until its window ends.
    InRecoveryWindow = Failing, Some("kubectl strongroom -n NAMESPACE restore NAME");
    /// No version is Current: no value has arrived yet. The condition Ready of the ManagedSecret says why.
    NoCurrent = Failing, Some("kubectl -n NAMESPACE describe managedsecret OBJECT");
    /// No version has the stage that was asked for.
    NoStage = Failing, Some("kubectl strongroom -n NAMESPACE stage NAME STAGE --to VERSION");
    /// A secret of this name exists, if only in its recovery window. PutSecretValue adds a version to it.
    NameTaken = Failing, Some("kubectl strongroom -n NAMESPACE put NAME");
    /// RestoreSecret is for a secret in its recovery window, and this one is not.
    NothingToRestore = Failing, Some("kubectl strongroom -n NAMESPACE describe NAME");
    /// There is no such secret, or you may not know of it. Check the name and the namespace.
    Absent = Failing, Some("kubectl -n NAMESPACE get managedsecrets");

    /// The gateway's Service leads to a process that is ready, or the caller has just read the secret.
    Reachable = Passing, None;
    /// People come over the API server, which has answered.
    OverApiServer = Passing, None;
    /// The CA certificate is in the caller's namespace.
    CaThere = Passing, None;
    /// No NetworkPolicy keeps the caller's pods from the gateway.
    EgressOpen = Passing, None;
    /// The caller has not read the secret lately, which is no fault by itself.
    NeverSeen = Irrelevant, None;
    /// No gateway has the name that follows `--via`.
    NoSuchGateway = Failing, Some("kubectl get services -A -l app.kubernetes.io/name=strongroom");
    /// A free secret is at the shared gateway alone. Let the caller ask there.
    FreeOnDedicated = Failing, Some("kubectl strongroom -n NAMESPACE explain secret NAME --via shared");
    /// A secret that no product owns is at the shared gateway alone. Let the caller ask there.
    OrdinarySecret = Failing, Some("kubectl strongroom -n NAMESPACE explain secret NAME --via shared");
    /// The gateway is for other products than that of the secret. Let the caller ask at the shared gateway,
    /// or at one of the product.
    OtherGateway = Failing, Some("kubectl strongroom -n NAMESPACE explain secret NAME --via shared");
    /// The gateway's Service does not exist.
    NoService = Failing, Some("kubectl -n INSTALLATION get services");
    /// The gateway's Service leads to no process that is ready.
    NoEndpoints = Failing, Some("kubectl -n INSTALLATION get pods");
    /// The ConfigMap `strongroom-ca` is not in the caller's namespace, so its pods have nothing by which to
    /// trust the gateway.
    CaMissing = Failing, Some("kubectl label namespace NAMESPACE strongroom.dev/ca=true");
    /// NetworkPolicies select pods of the caller for egress, and none of them allows the way to the gateway.
    /// The command is printed with a NetworkPolicy that does.
    EgressBlockedBy = Failing, Some("kubectl apply -f NETWORKPOLICY");
    /// NetworkPolicies select pods of the caller, or might, and what is visible to you does not tell whether
    /// they allow the way to the gateway.
    EgressUnclear = Unknown, Some("kubectl -n NAMESPACE get networkpolicies -o yaml");

    /// The key is enabled, and the caller may use it.
    KeyUsable = Passing, None;
    /// The secret lies under the default key of its namespace, which nobody disables.
    NoKey = Irrelevant, None;
    /// The operation does not use the key.
    KeyUnused = Irrelevant, None;
    /// No policy lets the caller use the key. Reading takes `keys:Decrypt`, writing `keys:GenerateDataKey`.
    /// The command is printed with the SecretPolicies that are missing.
    KeyNotGranted = Failing, Some("kubectl apply -f POLICY");
    /// The key is disabled, so nothing under it is read or written.
    KeyDisabled = Failing, Some("kubectl strongroom -n NAMESPACE key enable KEY");
    /// The key is scheduled for deletion. Applying the EncryptionKey again restores everything under it.
    KeyPendingDeletion = Failing, Some("kubectl apply -f ENCRYPTIONKEY");
    /// The key was destroyed, and with it everything encrypted under it. Only a backup has it.
    KeyDestroyed = Failing, None;
    /// No EncryptionKey of the namespace has the name that was given.
    KeyAbsent = Failing, Some("kubectl -n NAMESPACE get encryptionkeys");

    /// Requests are left.
    Left = Passing, None;
    /// No rate is set.
    Unlimited = Passing, None;
    /// The rate is used up at the moment ([limits](limits.md)). Ask less often, with conditional requests or
    /// WatchSecret, or have the rate raised: that of a dedicated gateway in its entry of `gateways`.
    Throttled = Failing, Some("helm upgrade strongroom charts/strongroom -n INSTALLATION --reuse-values --set SETTING");

    /// The secret is an ordinary one.
    NoProduct = Irrelevant, None;
    /// The caller is a manager of the product, and the product may do it.
    Manager = Passing, None;
    /// The caller is a user of the product's secret, and policies decide.
    User = Passing, None;
    /// Only the product's managers do it, or nobody. Make the change in the product; `spec.docs` of the
    /// SecretProduct names its page ([who may do what](reference/product-matrix.md)).
    ManagedBy = Failing, Some("kubectl get secretproduct CODE -o jsonpath={.spec.docs}");
    /// The product does not offer the hosting, or the gateway does not serve it.
    HostingRefused = Failing, Some("kubectl get secretproduct CODE -o jsonpath={.spec.hosting}");
    /// The product offers paid hosting alone: name an EncryptionKey of the namespace.
    KeyRequired = Failing, Some("kubectl -n NAMESPACE get encryptionkeys");
    /// The product's secret has identity policies alone, and no policy of its own.
    NoSecretPolicies = Failing, Some("kubectl get secretproduct CODE -o yaml");
    /// There is no SecretProduct of the code that the name begins with. Apply it, or choose a name without
    /// `!`.
    ProductUnknown = Failing, Some("kubectl apply -f SECRETPRODUCT");
    /// The SecretProduct was deleted: its secrets are read, and nobody writes them. Apply it again.
    ProductAbsent = Failing, Some("kubectl apply -f SECRETPRODUCT");
    /// The SecretProduct has other managers than those that made its secrets. Look at them, and accept them.
    ProductChanged = Failing, Some("kubectl strongroom product adopt CODE");
    /// `spec.suspend` of the SecretProduct is true: nothing is written.
    ProductSuspended = Failing, Some("kubectl patch secretproduct CODE --type merge -p PATCH");
    /// `spec.namespaces` of the SecretProduct does not select the namespace. Label the namespace so that it
    /// does.
    NamespaceNotSelected = Failing, Some("kubectl get secretproduct CODE -o jsonpath={.spec.namespaces}");

    /// The operation makes nothing that counts on a product's quota.
    NoQuota = Irrelevant, None;
    /// There is room for another one.
    Within = Passing, None;
    /// The product has as many secrets of this hosting as `spec.quota` allows, those in recovery windows
    /// included. Have some deleted and wait for their windows to end, or have the quota raised.
    QuotaExceeded = Failing, Some("kubectl patch secretproduct CODE --type merge -p PATCH");

    /// The caller has proven who it is with this very request.
    Accepted = Passing, None;
    /// The ServiceAccount exists.
    AccountExists = Passing, None;
    /// Whoever is asked about did not come with a token of their own.
    NotShown = Irrelevant, None;
    /// There is no such ServiceAccount. Check the name and the namespace, or make it.
    NoSuchAccount = Failing, Some("kubectl -n NAMESPACE create serviceaccount ACCOUNT");

    /// You have no right to see it; the detail says which right that takes.
    NotVisible = Unknown, None;
}

/// A command in which words of capitals that stand for a name are replaced by it, quoted for a shell.
fn filled(template: &str, names: &[(&str, &str)]) -> String {
    let mut command = String::new();
    let mut rest = template;
    while let Some(start) = rest.find(|c: char| c.is_ascii_uppercase()) {
        let (before, from) = rest.split_at(start);
        let end = from.find(|c: char| !c.is_ascii_uppercase()).unwrap_or(from.len());
        let (word, after) = from.split_at(end);
        command.push_str(before);
        match names.iter().find(|(placeholder, _)| *placeholder == word) {
            Some((_, name)) => command.push_str(&shell_word(name)),
            None => command.push_str(word),
        }
        rest = after;
    }
    command + rest
}

/// A text as one word for a shell, whatever is in it.
fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', r"'\''"))
    }
}

/// The command that applies these objects, each a document of YAML.
///
/// INVARIANT: no line of an object is `YAML`, which would end it: every text in one that others chose is a
/// string of JSON, or has small letters and digits alone.
#[must_use]
pub fn apply_command<'a>(objects: impl IntoIterator<Item = &'a str>) -> String {
    let documents: Vec<&str> = objects.into_iter().map(str::trim_end).collect();
    format!("kubectl apply -f - <<'YAML'\n{}\nYAML", documents.join("\n---\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_results_stay_as_programs_know_them() {
        assert_eq!(
            serde_json::to_string(&AccessCheckName::ALL).unwrap(),
            r#"["permission","secret","network","key","rate","product","quota","credentials"]"#
        );
        for result in AccessCheckResult::ALL {
            assert_eq!(serde_json::to_value(result).unwrap(), result.as_str());
        }
        for (state, word) in [
            (AccessCheckState::Passing, "passing"),
            (AccessCheckState::Failing, "failing"),
            (AccessCheckState::Unknown, "unknown"),
            (AccessCheckState::Irrelevant, "irrelevant"),
        ] {
            assert_eq!(serde_json::to_value(state).unwrap(), word);
        }
    }

    #[test]
    fn every_result_is_one_of_a_check_and_every_check_can_be_passed() {
        let listed: Vec<AccessCheckResult> = AccessCheckName::ALL
            .iter()
            .flat_map(|check| check.results().iter().copied())
            .collect();
        for result in AccessCheckResult::ALL {
            let count = listed.iter().filter(|listed| *listed == result).count();
            let shared = *result == AccessCheckResult::NotVisible;
            assert!(count == 1 || shared && count > 1, "{result:?}: {count}");
        }
        for check in AccessCheckName::ALL {
            let stands_in_no_way = check.results().iter().any(|result| {
                matches!(
                    result.state(),
                    AccessCheckState::Passing | AccessCheckState::Irrelevant
                )
            });
            assert!(stands_in_no_way, "{check:?}");
        }
    }

    #[test]
    fn what_passes_has_nothing_to_mend_and_what_fails_has_a_command() {
        for result in AccessCheckResult::ALL {
            let mends = result.remedy().is_some();
            match result.state() {
                AccessCheckState::Passing | AccessCheckState::Irrelevant => assert!(!mends, "{result:?}"),
                AccessCheckState::Failing => {
                    assert!(mends || *result == AccessCheckResult::KeyDestroyed, "{result:?}");
                }
                AccessCheckState::Unknown => {}
            }
        }
    }

    #[test]
    fn a_command_is_one_for_a_shell_whatever_a_name_is() {
        let names = [("NAMESPACE", "shop"), ("NAME", "it's a $(name)!")];
        for (template, expected) in [
            ("plain", "plain"),
            ("a -n NAMESPACE b NAME", r"a -n shop b 'it'\''s a $(name)!'"),
            ("NAMES NAMESPACE", "NAMES shop"),
            ("-p NAMESPACE=NAME/x", r"-p shop='it'\''s a $(name)!'/x"),
        ] {
            assert_eq!(filled(template, &names), expected);
        }
        assert_eq!(shell_word(""), "''");
        assert_eq!(shell_word("pg!orders"), "'pg!orders'");
    }

    #[test]
    fn objects_are_applied_by_one_command() {
        assert_eq!(
            apply_command(["kind: A\n", "kind: B\n"]),
            "kubectl apply -f - <<'YAML'\nkind: A\n---\nkind: B\nYAML"
        );
    }

    #[test]
    fn a_check_travels_as_json() {
        let check = AccessCheck::new(
            AccessCheckName::Key,
            AccessCheckResult::KeyDisabled,
            "EncryptionKey `pay` is disabled",
        )
        .mended_with(&[("NAMESPACE", "shop"), ("KEY", "pay")]);
        let json = serde_json::to_value(&check).unwrap();
        assert_eq!(json["state"], "failing");
        assert_eq!(json["remedy"], "kubectl strongroom -n shop key enable pay");
        assert_eq!(json.get("item"), None);
        assert_eq!(serde_json::from_value::<AccessCheck>(json).unwrap(), check);
    }
}
