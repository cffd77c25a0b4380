//! The accounts of products: how many default secrets each has, by hosting and namespace, and what all of
//! them together have of the store. Those in a recovery window count.
//!
//! It is counted when the store is opened, and kept up with each commit; nothing of it is believed from the
//! file. Must not decide what is refused; the commands do.

use std::collections::{BTreeMap, BTreeSet};

use parking_lot::Mutex;
use strongroom_model::id::{NamespaceId, SecretId};
use strongroom_model::{Hosting, ProductCode};

use super::commit_changes::CommitChanges;
use super::product_account::{ProductAccount, ProductMoves};
use super::quota::{Usage, UsageChange};
use crate::format::Quota;

/// How many times as many secrets as one namespace all products together may have. Of bytes they may have as
/// many.
const SECRETS_OF_NAMESPACES: u64 = 10;

/// All default secrets, counted.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub(super) struct ProductCounts {
    accounts: BTreeMap<SecretId, ProductAccount>,
    /// No account is here with nothing on it.
    secrets: BTreeMap<ProductAccount, u64>,
    used: Usage,
}

impl ProductCounts {
    /// A default secret with a head of so many bytes is there.
    pub(super) fn add(&mut self, secret: SecretId, account: ProductAccount, head_bytes: u64) {
        self.used = self.used.plus(Usage {
            secrets: 1,
            bytes: head_bytes,
        });
        self.move_to(secret, Some(account));
    }

    /// A row of a default secret is there.
    pub(super) fn add_bytes(&mut self, bytes: u64) {
        self.used.bytes = self.used.bytes.saturating_add(bytes);
    }

    /// Whether this is a default secret.
    pub(super) fn contains(&self, secret: &SecretId) -> bool {
        self.accounts.contains_key(secret)
    }

    fn move_to(&mut self, secret: SecretId, account: Option<ProductAccount>) {
        let before = match account.clone() {
            Some(account) => self.accounts.insert(secret, account),
            None => self.accounts.remove(&secret),
        };
        if before == account {
            return;
        }
        if let Some(before) = before
            && let Some(secrets) = self.secrets.get_mut(&before)
        {
            *secrets = secrets.saturating_sub(1);
            if *secrets == 0 {
                self.secrets.remove(&before);
            }
        }
        if let Some(account) = account {
            *self.secrets.entry(account).or_default() += 1;
        }
    }

    /// How many a product has in each namespace.
    fn by_namespace(&self, code: &ProductCode, hosting: Hosting) -> impl Iterator<Item = (NamespaceId, u64)> {
        let account = |namespace| ProductAccount {
            code: code.clone(),
            hosting,
            namespace: NamespaceId::from_bytes(namespace),
        };
        self.secrets
            .range(account([0; 16])..=account([u8::MAX; 16]))
            .map(|(account, secrets)| (account.namespace, *secrets))
    }
}

/// What each product has, and what all of them together may have.
#[derive(Debug)]
pub(super) struct ProductQuotas {
    /// None: there is no end.
    share: Option<Quota>,
    counts: Mutex<ProductCounts>,
}

impl ProductQuotas {
    /// The accounts of a store that is opened; `namespace` is what one namespace may have.
    pub(super) fn new(namespace: Option<Quota>, counts: ProductCounts) -> Self {
        let share = namespace.map(|namespace| Quota {
            secrets: namespace.secrets.saturating_mul(SECRETS_OF_NAMESPACES),
            bytes: namespace.bytes,
        });
        Self {
            share,
            counts: Mutex::new(counts),
        }
    }

    /// What all products together may have; none: there is no end.
    pub(super) const fn share(&self) -> Option<Quota> {
        self.share
    }

    /// What all products together have.
    pub(super) fn used(&self) -> Usage {
        self.counts.lock().used
    }

    /// How many default secrets a product has in each namespace.
    pub(super) fn by_namespace(&self, code: &ProductCode, hosting: Hosting) -> BTreeMap<NamespaceId, u64> {
        self.counts.lock().by_namespace(code, hosting).collect()
    }

    /// The same in one namespace, and in all, once these moves have happened.
    pub(super) fn secrets_after(&self, account: &ProductAccount, moves: &ProductMoves) -> (u64, u64) {
        let counts = self.counts.lock();
        let mut in_namespace = counts.secrets.get(account).copied().unwrap_or_default();
        let mut total: u64 = counts
            .by_namespace(&account.code, account.hosting)
            .map(|(_, secrets)| secrets)
            .sum();
        let same = |other: &&ProductAccount| other.code == account.code && other.hosting == account.hosting;
        for (secret, after) in moves {
            if let Some(before) = counts.accounts.get(secret).filter(same) {
                total = total.saturating_sub(1);
                in_namespace = in_namespace.saturating_sub(u64::from(before == account));
            }
            if let Some(after) = after.as_ref().filter(same) {
                total += 1;
                in_namespace += u64::from(after == account);
            }
        }
        (in_namespace, total)
    }

    /// The default secrets of which rows change.
    pub(super) fn secrets_of(&self, commit: &CommitChanges<'_>) -> BTreeSet<SecretId> {
        let counts = self.counts.lock();
        let moved = commit.product_moves().keys().copied();
        let rows = commit.rows().filter_map(|row| row.secret());
        rows.filter(|secret| counts.contains(secret))
            .chain(moved)
            .collect()
    }

    /// A commit happened, in which rows of these default secrets changed.
    pub(super) fn absorb(&self, commit: &CommitChanges<'_>, theirs: &BTreeSet<SecretId>) {
        if theirs.is_empty() {
            return;
        }
        let mut change = UsageChange::default();
        for row in commit.rows() {
            if row.secret().is_some_and(|secret| theirs.contains(&secret)) {
                change.add_row(&row);
            }
        }
        let mut counts = self.counts.lock();
        counts.used = counts.used.changed_by(change);
        for (secret, account) in commit.product_moves() {
            counts.move_to(*secret, account.clone());
        }
    }

    /// All was counted anew.
    pub(super) fn reset(&self, counts: ProductCounts) {
        *self.counts.lock() = counts;
    }
}

#[cfg(test)]
mod tests {
    use strongroom_model::name::SecretName;

    use super::*;
    use crate::vault::product_account::product_of;

    fn account(code: &str, hosting: Hosting, namespace: u8) -> ProductAccount {
        ProductAccount {
            code: ProductCode::new(code).unwrap(),
            hosting,
            namespace: NamespaceId::from_bytes([namespace; 16]),
        }
    }

    fn secret(number: u8) -> SecretId {
        SecretId::from_bytes([number; 16])
    }

    fn counted() -> ProductCounts {
        let mut counts = ProductCounts::default();
        for (number, account) in [
            account("pg", Hosting::Free, 1),
            account("pg", Hosting::Free, 1),
            account("pg", Hosting::Free, u8::MAX),
            account("pg", Hosting::Paid, 1),
            account("pga", Hosting::Free, 1),
            account("p", Hosting::Free, 0),
        ]
        .into_iter()
        .enumerate()
        {
            counts.add(secret(u8::try_from(number).unwrap()), account, 100);
        }
        counts
    }

    #[test]
    fn names_of_strongroom_and_of_no_product_are_on_no_account() {
        let of = |name: &str| product_of(&SecretName::new(name).unwrap()).map(|code| code.to_string());
        assert_eq!(of("pg!orders-admin").as_deref(), Some("pg"));
        for name in ["orders-admin", "strongroom!sealing", "PG!orders-admin"] {
            assert_eq!(of(name), None, "{name}");
        }
    }

    #[test]
    fn a_product_is_counted_by_its_own_code_in_each_hosting() {
        let quotas = ProductQuotas::new(None, counted());
        let now = |account: &ProductAccount| quotas.secrets_after(account, &ProductMoves::new());
        assert_eq!(now(&account("pg", Hosting::Free, 1)), (2, 3));
        assert_eq!(now(&account("pg", Hosting::Free, 2)), (0, 3));
        assert_eq!(now(&account("pg", Hosting::Paid, 1)), (1, 1));
        assert_eq!(now(&account("p", Hosting::Free, 0)), (1, 1));
        assert_eq!(now(&account("p", Hosting::Paid, 0)), (0, 0));
        assert_eq!(
            quotas.by_namespace(&ProductCode::new("pg").unwrap(), Hosting::Free),
            BTreeMap::from([
                (NamespaceId::from_bytes([1; 16]), 2),
                (NamespaceId::from_bytes([u8::MAX; 16]), 1)
            ])
        );
        assert_eq!(
            quotas.used(),
            Usage {
                secrets: 6,
                bytes: 600
            }
        );
    }

    #[test]
    fn what_a_group_moves_makes_and_destroys_counts_at_once() {
        let quotas = ProductQuotas::new(None, counted());
        let moves = ProductMoves::from([
            (secret(0), Some(account("pg", Hosting::Paid, 1))),
            (secret(2), None),
            (secret(5), Some(account("p", Hosting::Free, 0))),
            (secret(9), Some(account("pg", Hosting::Paid, 7))),
        ]);
        let after = |account: &ProductAccount| quotas.secrets_after(account, &moves);
        assert_eq!(after(&account("pg", Hosting::Free, 1)), (1, 1));
        assert_eq!(after(&account("pg", Hosting::Free, u8::MAX)), (0, 1));
        assert_eq!(after(&account("pg", Hosting::Paid, 1)), (2, 3));
        assert_eq!(after(&account("pg", Hosting::Paid, 7)), (1, 3));
        assert_eq!(after(&account("p", Hosting::Free, 0)), (1, 1));
    }

    #[test]
    fn an_account_with_nothing_on_it_is_not_kept() {
        let mut counts = counted();
        for number in 0..6 {
            counts.move_to(secret(number), None);
        }
        assert!(counts.accounts.is_empty() && counts.secrets.is_empty());
        counts.move_to(secret(1), None);
        assert!(counts.secrets.is_empty());
    }

    #[test]
    fn all_products_together_have_the_bytes_of_a_namespace_and_ten_times_its_secrets() {
        let share = |secrets, bytes| {
            ProductQuotas::new(Some(Quota { secrets, bytes }), ProductCounts::default()).share()
        };
        assert_eq!(
            share(10, 1_000),
            Some(Quota {
                secrets: 100,
                bytes: 1_000
            })
        );
        assert_eq!(
            share(u64::MAX, u64::MAX),
            Some(Quota {
                secrets: u64::MAX,
                bytes: u64::MAX
            })
        );
        assert_eq!(ProductQuotas::new(None, ProductCounts::default()).share(), None);
    }
}
