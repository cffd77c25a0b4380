//! Which account of Alibaba Cloud is which namespace.

use std::collections::BTreeMap;
use std::fmt;
use std::str::FromStr;

use strongroom_model::is_ram_account;
use strongroom_model::name::NamespaceName;

/// The namespaces of accounts, as in `123456789012****=pay`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RamAccounts(BTreeMap<String, String>);

/// An account is not taken for a namespace.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RamAccountsError {
    /// It is not written as it should be.
    #[error("`{0}` does not say which account is which namespace; write it like `123456789012****=pay`")]
    Malformed(String),
    /// The same account is given with two namespaces.
    #[error("account `{account}` cannot be namespace `{one}` and `{other}`; leave one of them")]
    Two {
        /// As it is written.
        account: String,
        /// The namespace that the first of the two gives.
        one: String,
        /// The namespace that the second gives.
        other: String,
    },
}

impl RamAccounts {
    /// An account is this namespace.
    ///
    /// # Errors
    /// [`RamAccountsError`] where it cannot be.
    pub fn insert(&mut self, account: &str, namespace: &str) -> Result<(), RamAccountsError> {
        if !is_ram_account(account) || namespace.parse::<NamespaceName>().is_err() {
            let text: String = format!("{account}={namespace}").chars().take(160).collect();
            return Err(RamAccountsError::Malformed(text));
        }
        match self.0.get(account) {
            Some(one) if one != namespace => Err(RamAccountsError::Two {
                account: account.to_owned(),
                one: one.clone(),
                other: namespace.to_owned(),
            }),
            _ => {
                self.0.insert(account.to_owned(), namespace.to_owned());
                Ok(())
            }
        }
    }

    /// The namespace of an account.
    #[must_use]
    pub fn namespace(&self, account: &str) -> Option<&str> {
        self.0.get(account).map(String::as_str)
    }

    /// An account of a namespace.
    #[must_use]
    pub fn account(&self, namespace: &str) -> Option<&str> {
        let mut accounts = self.0.iter();
        let (account, _) = accounts.find(|(_, one)| *one == namespace)?;
        Some(account)
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl fmt::Display for RamAccounts {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, (account, namespace)) in self.0.iter().enumerate() {
            let comma = if index > 0 { "," } else { "" };
            write!(f, "{comma}{account}={namespace}")?;
        }
        Ok(())
    }
}

impl FromStr for RamAccounts {
    type Err = RamAccountsError;

    fn from_str(text: &str) -> Result<Self, RamAccountsError> {
        let mut accounts = Self::default();
        for pair in text.split(',').filter(|pair| !pair.is_empty()) {
            let (account, namespace) = pair
                .split_once('=')
                .ok_or_else(|| RamAccountsError::Malformed(pair.chars().take(160).collect()))?;
            accounts.insert(account, namespace)?;
        }
        Ok(accounts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn accounts_are_written_as_they_are_read() {
        for text in ["", "1=a", "123456789012****=pay,9=pay,shop=web"] {
            let read: RamAccounts = text.parse().unwrap();
            assert_eq!(read.to_string(), text);
            assert_eq!(read.is_empty(), text.is_empty());
        }
        let read: RamAccounts = "9=b,1=a,2=a".parse().unwrap();
        assert_eq!((read.namespace("9"), read.namespace("3")), (Some("b"), None));
        assert_eq!((read.account("a"), read.account("c")), (Some("1"), None));
    }

    #[test]
    fn what_is_none_is_refused() {
        for text in ["1", "=a", "1=", "1=A", "*=a", "1=a=b", "1 =a"] {
            let error = text.parse::<RamAccounts>().unwrap_err();
            assert!(matches!(error, RamAccountsError::Malformed(_)), "{text}: {error}");
        }
        assert!("1=a,1=a".parse::<RamAccounts>().is_ok());
        let error = "1=a,1=b".parse::<RamAccounts>().unwrap_err().to_string();
        assert!(
            error.starts_with("account `1` cannot be namespace `a` and `b`"),
            "{error}"
        );
    }
}
