//! Principals as RAM, the access control of Alibaba Cloud, names them: `acs:ram::<account>:user/<name>`.
//!
//! INVARIANT: they are compared as text. An account number is often written with its last digits masked by
//! `*`, and that stands for itself alone: read as a pattern, it would stand for the accounts of others.

use std::fmt;
use std::str::FromStr;

/// Longest principal of RAM, in bytes.
pub const RAM_PRINCIPAL_BYTES: usize = 224;

/// What every principal of RAM matches.
pub const RAM_PRINCIPAL_PATTERN: &str =
    r"^acs:ram::[0-9a-zA-Z][-0-9a-zA-Z*]{0,63}:(root|\*|(user|role)/[-._@0-9a-zA-Z]{1,128})$";

/// Longest id of an account, in bytes.
const ACCOUNT_BYTES: usize = 64;
/// Longest name of a user or a role, in bytes.
const SUBJECT_BYTES: usize = 128;
/// What every principal begins with.
const PREFIX: &str = "acs:ram::";

/// Somebody as RAM names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RamPrincipal {
    account: Box<str>,
    subject: RamSubject,
}

/// Who of an account.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RamSubject {
    /// The user of this name.
    User(Box<str>),
    /// Whoever has taken on the role of this name.
    Role(Box<str>),
    /// Everybody, written `root`.
    Root,
    /// Everybody, written `*`.
    Everybody,
}

/// Text that is no principal of RAM.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{text}` is not a principal of RAM; write `acs:ram::<account>:user/<name>`, `acs:ram::<account>:role/<name>` or `acs:ram::<account>:root`"
)]
pub struct RamPrincipalError {
    text: String,
}

impl RamPrincipal {
    /// The id of the account, as it is written.
    #[must_use]
    pub fn account(&self) -> &str {
        &self.account
    }

    /// Who of the account.
    #[must_use]
    pub const fn subject(&self) -> &RamSubject {
        &self.subject
    }
}

/// Whether a text can be the id of an account, masked or not.
#[must_use]
pub fn is_ram_account(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'*');
    text.len() <= ACCOUNT_BYTES
        && text
            .bytes()
            .next()
            .is_some_and(|first| first.is_ascii_alphanumeric())
        && text.bytes().all(legal)
}

/// Whether a text can be the name of a user or a role.
fn is_subject_name(text: &str) -> bool {
    let legal = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'@');
    !text.is_empty() && text.len() <= SUBJECT_BYTES && text.bytes().all(legal)
}

fn parse(text: &str) -> Option<RamPrincipal> {
    let (account, subject) = text.strip_prefix(PREFIX)?.split_once(':')?;
    let name = |name: &str| is_subject_name(name).then(|| Box::from(name));
    let subject = match (subject, subject.split_once('/')) {
        ("root", _) => RamSubject::Root,
        ("*", _) => RamSubject::Everybody,
        (_, Some(("user", user))) => RamSubject::User(name(user)?),
        (_, Some(("role", role))) => RamSubject::Role(name(role)?),
        _ => return None,
    };
    is_ram_account(account).then(|| RamPrincipal {
        account: account.into(),
        subject,
    })
}

impl FromStr for RamPrincipal {
    type Err = RamPrincipalError;

    fn from_str(text: &str) -> Result<Self, RamPrincipalError> {
        parse(text).ok_or_else(|| RamPrincipalError {
            text: text.chars().take(80).collect(),
        })
    }
}

impl fmt::Display for RamPrincipal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}:", self.account)?;
        match &self.subject {
            RamSubject::User(name) => write!(f, "user/{name}"),
            RamSubject::Role(name) => write!(f, "role/{name}"),
            RamSubject::Root => f.write_str("root"),
            RamSubject::Everybody => f.write_str("*"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_principal_is_written_as_it_was_read() {
        for (text, account, subject) in [
            (
                "acs:ram::190325303126****:user/key_ramuser3",
                "190325303126****",
                RamSubject::User("key_ramuser3".into()),
            ),
            (
                "acs:ram::shop:role/check.out@x",
                "shop",
                RamSubject::Role("check.out@x".into()),
            ),
            ("acs:ram::1:root", "1", RamSubject::Root),
            ("acs:ram::1:*", "1", RamSubject::Everybody),
        ] {
            let read: RamPrincipal = text.parse().unwrap();
            assert_eq!((read.account(), read.subject()), (account, &subject));
            assert_eq!(read.to_string(), text);
        }
    }

    #[test]
    fn what_is_none_is_refused() {
        let long = |account: usize, name: usize| {
            format!("acs:ram::{}:user/{}", "1".repeat(account), "u".repeat(name))
        };
        assert!(long(64, 128).parse::<RamPrincipal>().is_ok());
        assert!(long(64, 128).len() <= RAM_PRINCIPAL_BYTES);
        let mut bad = vec![long(65, 1), long(1, 129)];
        bad.extend(
            [
                "",
                "*",
                "acs:ram::1",
                "acs:ram:cn-hangzhou:1:user/a",
                // Everybody everywhere, and a pattern of names.
                "acs:ram::*:user/a",
                "acs:ram::***:root",
                "acs:ram::1:user/*",
                "acs:ram::1:user/a*",
                "acs:ram::1:user/",
                "acs:ram::1:user",
                "acs:ram::1:group/a",
                "acs:ram::1:assumed-role/a/b",
                "acs:ram::1:user/a/b",
                "acs:ram::${account}:user/a",
                " acs:ram::1:user/a",
                "arn:aws:iam::1:user/a",
            ]
            .map(str::to_owned),
        );
        for text in bad {
            let error = text.parse::<RamPrincipal>().unwrap_err().to_string();
            assert!(error.contains("is not a principal of RAM"), "{error}");
        }
    }
}
