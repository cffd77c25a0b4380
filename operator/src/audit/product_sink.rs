//! A product's own sink: what of the audit it takes, and how long records wait for it.
//!
//! Nobody waits for such a sink. What is kept of the log does not depend on it, and records that it has not
//! taken in time go by it. What it lacks is on record, in the chain and in its own stream.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use strongroom_api::audit::AuditRecord;
use strongroom_crds::period::{Period, PeriodError};
use strongroom_model::ProductCode;
use strongroom_store::audit::Action;

use super::destination::{Destination, DestinationError};

/// How one is written, for those who wrote something else.
pub(crate) const PRODUCT_SINK_FORM: &str = "NAME=SINK,product=CODE,maxLag=5m";

/// How long records wait where nobody says so.
const DEFAULT_MAX_LAG: Duration = Duration::from_secs(300);

/// A shorter wait would be over at the first hiccup of a receiver.
const MIN_MAX_LAG: Duration = Duration::from_secs(60);

/// Longest name.
const MAX_LABEL_BYTES: usize = 63;

/// A product's sink, as the command line names it.
#[derive(Clone, Debug)]
pub(crate) struct ProductSink {
    destination: Destination,
    filter: ProductFilter,
}

/// Whose records a sink takes, and how long they wait for it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ProductFilter {
    /// What people call the sink.
    name: String,
    code: ProductCode,
    max_lag: Duration,
}

/// A text that names no product's sink.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ProductSinkError {
    /// It is of another form.
    #[error("`{0}` is no sink of a product; write `{form}`", form = PRODUCT_SINK_FORM)]
    Malformed(String),
    /// Logs, metrics and records could not name it.
    #[error("`{0}` is no name of a sink; use up to 63 lower-case letters, digits and `-`")]
    Name(String),
    /// No product can have this code.
    #[error(
        "`{0}` is no code of a product; use the name of a SecretProduct, which is a DNS label and not `strongroom`"
    )]
    Code(String),
    /// It is no length of time.
    #[error("maxLag: {0}")]
    Period(PeriodError),
    /// It is too short.
    #[error("a maxLag of `{0}` is too short; use at least 1m")]
    Short(String),
    /// Where the records go.
    #[error(transparent)]
    Destination(#[from] DestinationError),
    /// Two cannot be told apart.
    #[error("two sinks of products have the name `{0}`; give each its own")]
    Twice(String),
    /// Two would send the same.
    #[error(
        "the sink `{0}` sends the records of its product where another one sends them already; remove one"
    )]
    SamePlace(String),
}

impl FromStr for ProductSink {
    type Err = ProductSinkError;

    fn from_str(text: &str) -> Result<Self, ProductSinkError> {
        let malformed = || ProductSinkError::Malformed(text.to_owned());
        let (name, rest) = text.split_once('=').ok_or_else(malformed)?;
        let (destination, options) = rest.split_once(",product=").ok_or_else(malformed)?;
        let (code, max_lag) = match options.split_once(",maxLag=") {
            Some((code, period)) => (code, max_lag(period)?),
            None => (options, DEFAULT_MAX_LAG),
        };
        if !is_dns_label(name) {
            return Err(ProductSinkError::Name(name.to_owned()));
        }
        let code: ProductCode = code
            .parse()
            .map_err(|_| ProductSinkError::Code(code.to_owned()))?;
        Ok(Self {
            destination: destination.parse()?,
            filter: ProductFilter {
                name: name.to_owned(),
                code,
                max_lag,
            },
        })
    }
}

fn max_lag(text: &str) -> Result<Duration, ProductSinkError> {
    let period: Period = text.parse().map_err(ProductSinkError::Period)?;
    let time = Duration::from_secs(period.seconds().unsigned_abs());
    if time < MIN_MAX_LAG {
        return Err(ProductSinkError::Short(text.to_owned()));
    }
    Ok(time)
}

fn is_dns_label(text: &str) -> bool {
    (1..=MAX_LABEL_BYTES).contains(&text.len())
        && text
            .bytes()
            .all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
        && !text.starts_with('-')
        && !text.ends_with('-')
}

/// These destinations, and those of products.
///
/// # Errors
/// Two sinks of products with one name, or with one place and one product.
pub(crate) fn with_product_sinks(
    mut destinations: Vec<Destination>,
    sinks: Vec<ProductSink>,
) -> Result<Vec<Destination>, ProductSinkError> {
    for ProductSink { destination, filter } in sinks {
        let name = filter.name.clone();
        let destination = destination.for_product(filter);
        for other in &destinations {
            if other.product().is_some_and(|other| other.name == name) {
                return Err(ProductSinkError::Twice(name));
            }
            if other.cursor() == destination.cursor() {
                return Err(ProductSinkError::SamePlace(name));
            }
        }
        destinations.push(destination);
    }
    Ok(destinations)
}

impl ProductFilter {
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

    fn filter(text: &str) -> ProductFilter {
        text.parse::<ProductSink>().unwrap().filter
    }

    #[test]
    fn a_sink_of_a_product_is_read_as_it_is_written() {
        let known = filter("aigw-siem=otlp+https://siem.example.com:4318?ca=/ca.crt,product=aigw,maxLag=1h");
        assert_eq!((known.name(), known.code().as_str()), ("aigw-siem", "aigw"));
        assert_eq!(known.max_lag(), Duration::from_secs(3_600));
        assert_eq!(filter("a=stdout,product=pg").max_lag(), DEFAULT_MAX_LAG);
        for wrong in [
            "",
            "a",
            "a=stdout",
            "stdout,product=pg",
            "=stdout,product=pg",
            "A=stdout,product=pg",
            "a=stdout,product=",
            "a=stdout,product=PG",
            "a=stdout,product=pg!x",
            "a=stdout,product=strongroom",
            "a=pigeon,product=pg",
            "a=syslog+tcp://10.0.0.1:514,product=pg",
            "a=stdout,product=pg,maxLag=59s",
            "a=stdout,product=pg,maxLag=5",
            "a=stdout,maxLag=5m,product=pg",
            "a=stdout,product=pg,product=aigw",
        ] {
            let refused = wrong.parse::<ProductSink>();
            assert!(refused.is_err(), "{wrong}: {refused:?}");
        }
    }

    #[test]
    fn a_place_is_kept_for_destination_and_product_whatever_the_rest() {
        let all = |texts: &[&str]| {
            let sinks = texts.iter().map(|text| text.parse().unwrap()).collect();
            with_product_sinks(vec!["stdout".parse().unwrap()], sinks)
        };
        let cursors = |texts: &[&str]| -> Vec<String> {
            let destinations = all(texts).unwrap();
            let names = destinations
                .iter()
                .map(|destination| destination.cursor().as_str());
            names.map(str::to_owned).collect()
        };
        let two = cursors(&["a=stdout,product=pg", "b=stdout,product=aigw"]);
        assert!(two[1].starts_with("product-"), "{two:?}");
        assert_ne!(two[0], two[1]);
        assert_ne!(two[1], two[2]);
        assert_eq!(cursors(&["c=stdout,product=pg,maxLag=1h"])[1], two[1]);
        assert_ne!(cursors(&["a=file:/log,product=pg"])[1], two[1]);
        assert_eq!(
            all(&["a=stdout,product=pg", "a=stdout,product=aigw"]).unwrap_err(),
            ProductSinkError::Twice("a".to_owned())
        );
        assert_eq!(
            all(&["a=stdout,product=pg", "b=stdout,product=pg,maxLag=1h"]).unwrap_err(),
            ProductSinkError::SamePlace("b".to_owned())
        );
    }

    #[test]
    fn it_takes_what_is_about_its_product_and_what_it_lacks_itself() {
        let siem = filter("siem=stdout,product=aigw");
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
        let other = filter("siem-2=stdout,product=aigw");
        assert!(!other.takes(&record(Action::TruncateAudit, None, &gap)));
    }
}
