//! What of the audit a product's own sink takes, and how long records wait for it.

use std::fmt;
use std::time::Duration;

use strongroom_api::audit::AuditRecord;
use strongroom_model::ProductCode;
use strongroom_store::audit::Action;

/// Whose records a sink takes, and how long they wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProductFilter {
    /// What people call the sink.
    name: String,
    code: ProductCode,
    max_lag: Duration,
}

impl ProductFilter {
    pub(super) fn new(name: &str, code: ProductCode, max_lag: Duration) -> Self {
        Self {
            name: name.to_owned(),
            code,
            max_lag,
        }
    }

    /// What people call the sink.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// Code of the product whose records pass.
    pub(super) const fn code(&self) -> &ProductCode {
        &self.code
    }

    /// How long records wait for it once it has failed.
    pub(super) const fn max_lag(&self) -> Duration {
        self.max_lag
    }

    /// Whether the record is for this sink: it is about a default secret of the product, about reads that are
    /// missing of whomever, or about what the sink itself lacks.
    pub(super) fn takes(&self, record: &AuditRecord) -> bool {
        let is_products = record.product.as_deref() == Some(self.code.as_str());
        is_products || record.action == "Gap" || self.is_own_gap(record)
    }

    /// The words of a record that says what the sink lacks.
    pub(super) fn gap(&self, lacks: &impl fmt::Display) -> String {
        format!("{}{lacks}", self.gap_start())
    }

    /// The words of a record that says what the sink has not taken so far. It is for others: were it for the
    /// sink, it would be the next that the sink lacks.
    pub(super) fn gap_so_far(&self, lacks: &impl fmt::Display) -> String {
        format!(
            "the sink `{}` of product `{}` has not taken {lacks}",
            self.name, self.code
        )
    }

    fn is_own_gap(&self, record: &AuditRecord) -> bool {
        record.action == Action::TruncateAudit.name() && record.detail.starts_with(&self.gap_start())
    }

    fn gap_start(&self) -> String {
        format!("the sink `{}` of product `{}` lacks ", self.name, self.code)
    }
}

#[cfg(test)]
mod tests {
    use strongroom_api::audit::Chain;
    use strongroom_store::audit::{Actor, Entry};
    use strongroom_testing::store::NOW;

    use super::*;
    use crate::audit::line::{gap as missing_reads, line};
    use crate::store_handle::timestamp;

    #[test]
    fn it_takes_what_is_about_its_product_and_what_it_lacks_itself() {
        let filter = |name: &str| ProductFilter::new(name, "aigw".parse().unwrap(), Duration::ZERO);
        let siem = filter("siem");
        // As a record comes: what it says of the product follows from the name.
        let record = |action: Action, secret: Option<&str>, detail: &str| -> AuditRecord {
            let entry = Entry {
                secret: secret.map(|name| name.parse().unwrap()),
                detail: detail.to_owned(),
                ..Entry::new(NOW, Actor::System, action)
            };
            line(Chain::Changes, 7, &entry)
        };
        let read = |secret| siem.takes(&record(Action::GetSecretValue, secret, ""));
        assert!(read(Some("aigw!payments")));
        for other in [
            Some("aigw"),
            Some("aigw-2!payments"),
            Some("pg!aigw"),
            Some("strongroom!aigw"),
            Some("db"),
            None,
        ] {
            assert!(!read(other), "{other:?}");
        }
        let gap = siem.gap(&"3 records");
        assert_eq!(gap, "the sink `siem` of product `aigw` lacks 3 records");
        assert!(siem.takes(&record(Action::TruncateAudit, None, &gap)));
        assert!(siem.takes(&missing_reads(7, 5, timestamp(NOW))));
        assert!(!siem.takes(&record(Action::UpdateSecret, Some("db"), &gap)));
        let cut = "changes up to 3, reads up to 9";
        assert!(!siem.takes(&record(Action::TruncateAudit, None, cut)));
        let other = filter("siem-2");
        assert!(!other.takes(&record(Action::TruncateAudit, None, &gap)));
    }
}
