//! Resources: `acs:kms:<region>:<account>:secret/<name>` is `secret/<name>` of the namespace that the account
//! stands for. Regions mean nothing here.

use strongroom_crds::v1alpha1::PolicyEffect;
use strongroom_model::is_secret_name_byte;
use strongroom_model::name::NamespaceName;

use super::accounts::RamAccounts;
use super::error::{RamPolicyReason, quoted};

/// Longest resource of a SecretPolicy, in characters.
const RESOURCE_CHARACTERS: usize = 264;
/// What every resource of the service begins with.
const PREFIX: &str = "acs:kms:";
/// What a document says for the account that it is used in,
const OWN_ACCOUNT: &str = "${account}";
/// and for whichever account.
const ANY: &str = "*";

/// The parts of a resource that count here.
struct RamResource<'a> {
    account: &'a str,
    /// `secret/…`, `key/…` or `*`.
    relative: &'a str,
}

impl<'a> RamResource<'a> {
    fn parse(text: &'a str) -> Option<Self> {
        let mut parts = text.strip_prefix(PREFIX)?.splitn(3, ':');
        let (region, account, relative) = (parts.next()?, parts.next()?, parts.next()?);
        (!region.is_empty() && !account.is_empty() && is_relative(relative))
            .then_some(Self { account, relative })
    }
}

fn is_relative(text: &str) -> bool {
    let legal = |byte: u8| is_secret_name_byte(byte) || matches!(byte, b'!' | b'*');
    text == "*"
        || text.split_once('/').is_some_and(|(kind, name)| {
            matches!(kind, "secret" | "key") && !name.is_empty() && name.bytes().all(legal)
        })
}

/// The resources of an identity policy of a namespace that one of RAM stands for. An account that had to be
/// looked up is added to `used`.
///
/// INVARIANT: whichever account is this namespace in an Allow, and every one in a Deny: what is of others is
/// denied there too.
pub(super) fn import(
    text: &str,
    (namespace, effect): (&str, PolicyEffect),
    (accounts, used): (&RamAccounts, &mut RamAccounts),
) -> Result<Vec<String>, RamPolicyReason> {
    let refused = || RamPolicyReason::Resource(quoted(text));
    let RamResource { account, relative } = if text == "*" {
        RamResource {
            account: ANY,
            relative: "*",
        }
    } else {
        RamResource::parse(text).ok_or_else(refused)?
    };
    let home = if account == ANY && effect == PolicyEffect::Deny {
        ANY
    } else if matches!(account, OWN_ACCOUNT | ANY) {
        namespace
    } else if let Some(home) = accounts.namespace(account) {
        used.insert(account, home).map_err(|_| refused())?;
        home
    } else if is_own_name(account) {
        account
    } else {
        return Err(RamPolicyReason::Account {
            account: quoted(account),
            resource: quoted(text),
        });
    };
    let relatives = if relative == "*" {
        vec!["secret/*".to_owned(), "key/*".to_owned()]
    } else {
        vec![relative.to_owned()]
    };
    let resources = relatives.into_iter().map(|relative| {
        if home == namespace {
            relative
        } else {
            format!("{home}:{relative}")
        }
    });
    let resources: Vec<String> = resources.collect();
    match resources.iter().map(String::len).max() {
        Some(length) if length > RESOURCE_CHARACTERS => Err(RamPolicyReason::TooLong {
            length,
            most: RESOURCE_CHARACTERS,
        }),
        _ => Ok(resources),
    }
}

/// Whether an account can be a namespace by its own name. A number is the account of somebody elsewhere, as
/// long as nobody says which namespace stands for it.
fn is_own_name(account: &str) -> bool {
    account.parse::<NamespaceName>().is_ok() && !account.bytes().all(|byte| byte.is_ascii_digit())
}

/// Which of the secrets that a secret policy is attached to a resource of it is, in this namespace as far as
/// anybody knows; none is every one of them. An account that had to be looked up is added to `used`.
pub(super) fn own_secret<'a>(
    text: &'a str,
    (namespace, secrets): (&str, &[String]),
    (accounts, used): (&RamAccounts, &mut RamAccounts),
) -> Result<Option<&'a str>, RamPolicyReason> {
    if text == "*" {
        return Ok(None);
    }
    let RamResource { account, relative } =
        RamResource::parse(text).ok_or_else(|| RamPolicyReason::Resource(quoted(text)))?;
    let other = || RamPolicyReason::OtherSecret(quoted(text));
    let own = Some(account).filter(|account| is_own_name(account));
    let known = accounts.namespace(account);
    if let Some(home) = known {
        used.insert(account, home).map_err(|_| other())?;
    }
    let is_here = known.or(own).is_none_or(|home| home == namespace);
    match relative.strip_prefix("secret/").filter(|_| is_here) {
        Some(name) if secrets.iter().any(|secret| secret == name) => Ok(Some(name)),
        _ => Err(other()),
    }
}

/// The resource of RAM that stands for one of an identity policy of a namespace; none where there is none.
pub(super) fn export(
    text: &str,
    (namespace, effect): (&str, PolicyEffect),
    accounts: &RamAccounts,
) -> Option<String> {
    let account = |home| account(home, accounts);
    let (account, relative) = match (text.split_once(':'), effect) {
        (None, PolicyEffect::Allow) => (ANY, text),
        (None, PolicyEffect::Deny) => (account(namespace).unwrap_or(OWN_ACCOUNT), text),
        (Some((ANY, relative)), PolicyEffect::Deny) => (ANY, relative),
        (Some((home, relative)), _) => (account(home)?, relative),
    };
    (is_relative(relative) && relative != "*").then(|| format!("{PREFIX}*:{account}:{relative}"))
}

/// The account that a namespace is exported as: one that it is known to be, or the one of its name, unless
/// that is the account of another.
fn account<'a>(home: &'a str, accounts: &'a RamAccounts) -> Option<&'a str> {
    let own = Some(home).filter(|home| is_own_name(home) && accounts.namespace(home).is_none());
    accounts.account(home).or(own)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn accounts() -> RamAccounts {
        "123456789012****=pay,web=shop".parse().unwrap()
    }

    #[test]
    fn resources_are_those_of_the_namespace_of_their_account() {
        for (text, expected) in [
            ("acs:kms:${region}:${account}:secret/mcp!*", &["secret/mcp!*"][..]),
            ("acs:kms:*:*:key/payments", &["key/payments"]),
            ("*", &["secret/*", "key/*"]),
            ("acs:kms:*:*:*", &["secret/*", "key/*"]),
            (
                "acs:kms:cn-hangzhou:123456789012****:secret/a/b",
                &["pay:secret/a/b"],
            ),
            (
                "acs:kms:cn-hangzhou:123456789012****:*",
                &["pay:secret/*", "pay:key/*"],
            ),
            ("acs:kms:x:web:secret/a", &["secret/a"]),
            ("acs:kms:x:shop:secret/a", &["secret/a"]),
            ("acs:kms:x:team-b:secret/a", &["team-b:secret/a"]),
        ] {
            let mut used = RamAccounts::default();
            let read = import(text, ("shop", PolicyEffect::Allow), (&accounts(), &mut used)).unwrap();
            assert_eq!(read, expected, "{text}");
            assert_eq!(
                used.is_empty(),
                !text.contains("1234") && !text.contains("web"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_deny_is_about_the_accounts_of_others_too() {
        for (text, expected) in [
            ("*", &["*:secret/*", "*:key/*"][..]),
            ("acs:kms:*:*:*", &["*:secret/*", "*:key/*"]),
            ("acs:kms:*:*:secret/db-*", &["*:secret/db-*"]),
            ("acs:kms:*:${account}:secret/db-*", &["secret/db-*"]),
            ("acs:kms:*:shop:secret/db-*", &["secret/db-*"]),
            ("acs:kms:*:123456789012****:key/a", &["pay:key/a"]),
        ] {
            let mut used = RamAccounts::default();
            let read = import(text, ("shop", PolicyEffect::Deny), (&accounts(), &mut used));
            assert_eq!(read, Ok(texts(expected)), "{text}");
        }
    }

    fn texts(texts: &[&str]) -> Vec<String> {
        texts.iter().map(|text| (*text).to_owned()).collect()
    }

    #[test]
    fn what_can_be_none_is_refused() {
        let read = |text: &str| {
            let accounts = (&accounts(), &mut RamAccounts::default());
            import(text, ("shop", PolicyEffect::Allow), accounts)
        };
        for text in [
            "",
            "secret/a",
            "acs:ecs:*:*:instance/*",
            "acs:kms:*:*:secret/",
            "acs:kms:*:*:secret*",
            "acs:kms:*:*:alias/a",
            "acs:kms:*:*:secret/a?",
            "acs:kms:*:*:secret/ü",
            "acs:kms:*::secret/a",
            "acs:kms::*:secret/a",
            "acs:kms:*:*:secret/a:b",
            "acs:kms:*:*",
        ] {
            assert_eq!(
                read(text),
                Err(RamPolicyReason::Resource(text.to_owned())),
                "{text}"
            );
        }
        for account in ["1903253031261234", "190325303126****", "A", "${x}"] {
            let text = format!("acs:kms:*:{account}:secret/a");
            let error = read(&text).unwrap_err();
            let is_account =
                matches!(&error, RamPolicyReason::Account { account: named, .. } if named == account);
            assert!(is_account, "{error}");
        }
        let long = format!("acs:kms:*:*:secret/{}", "a".repeat(RESOURCE_CHARACTERS));
        assert!(matches!(read(&long), Err(RamPolicyReason::TooLong { .. })));
    }

    #[test]
    fn a_secret_policy_is_about_its_own_secrets() {
        let secrets = ["ai-gateway!secret-name".to_owned()];
        let check = |text: &str| {
            own_secret(
                text,
                ("pay", &secrets),
                (&accounts(), &mut RamAccounts::default()),
            )
            .map(drop)
        };
        for text in [
            "*",
            "acs:kms:cn-hangzhou:123456789012****:secret/ai-gateway!secret-name",
            "acs:kms:cn-hangzhou:999999999999****:secret/ai-gateway!secret-name",
            "acs:kms:*:*:secret/ai-gateway!secret-name",
        ] {
            assert_eq!(check(text), Ok(()), "{text}");
        }
        for text in [
            "acs:kms:*:*:*",
            "acs:kms:*:*:secret/*",
            "acs:kms:*:*:secret/other",
            "acs:kms:*:*:key/ai-gateway!secret-name",
            // It is known to be somewhere else.
            "acs:kms:*:web:secret/ai-gateway!secret-name",
            "acs:kms:*:team-b:secret/ai-gateway!secret-name",
        ] {
            assert_eq!(check(text), Err(RamPolicyReason::OtherSecret(text.to_owned())));
        }
        assert!(matches!(check("a"), Err(RamPolicyReason::Resource(_))));
        let mut used = RamAccounts::default();
        let text = "acs:kms:*:123456789012****:secret/ai-gateway!secret-name";
        let read = own_secret(text, ("pay", &secrets), (&accounts(), &mut used));
        assert_eq!(read, Ok(Some("ai-gateway!secret-name")));
        assert_eq!(used.to_string(), "123456789012****=pay");
        assert_eq!(
            own_secret("*", ("pay", &secrets), (&accounts(), &mut used)),
            Ok(None)
        );
    }

    #[test]
    fn a_resource_that_goes_out_comes_in_as_the_same() {
        use PolicyEffect::{Allow, Deny};

        for (home, effect, text, expected) in [
            ("home", Allow, "secret/mcp!*", Some("acs:kms:*:*:secret/mcp!*")),
            (
                "home",
                Allow,
                "pay:key/a",
                Some("acs:kms:*:123456789012****:key/a"),
            ),
            (
                "home",
                Allow,
                "team-b:secret/a",
                Some("acs:kms:*:team-b:secret/a"),
            ),
            // Any namespace, one that is a number, and one whose name is the account of another.
            ("home", Allow, "*:secret/a", None),
            ("home", Allow, "12:secret/a", None),
            ("home", Allow, "web:secret/a", None),
            ("home", Deny, "secret/mcp!*", Some("acs:kms:*:home:secret/mcp!*")),
            (
                "pay",
                Deny,
                "secret/a",
                Some("acs:kms:*:123456789012****:secret/a"),
            ),
            ("12", Deny, "secret/a", Some("acs:kms:*:${account}:secret/a")),
            ("web", Deny, "secret/a", Some("acs:kms:*:${account}:secret/a")),
            ("home", Deny, "*:secret/a", Some("acs:kms:*:*:secret/a")),
            ("home", Deny, "team-*:secret/a", None),
        ] {
            let read = export(text, (home, effect), &accounts());
            assert_eq!(read.as_deref(), expected, "{text}");
            if let Some(read) = read {
                let again = import(&read, (home, effect), (&accounts(), &mut RamAccounts::default()));
                assert_eq!(again, Ok(vec![text.to_owned()]));
            }
        }
    }
}
