//! A product's own sink: as the command line names it, and how long records wait for it.
//!
//! Nobody waits for such a sink. It does not influence how much of the log is kept, and records that it has
//! not received in time are skipped. The chain and its own stream say which records it lacks.

use std::str::FromStr;
use std::time::Duration;

use strongroom_crds::period::{Period, PeriodError};
use strongroom_model::ProductCode;
use strongroom_model::name::is_dns_label;

use super::destination::Destination;
use super::product_filter::ProductFilter;
use super::registry::DestinationError;

/// How one is written, for those who wrote something else.
pub(crate) const PRODUCT_SINK_FORM: &str = "NAME=SINK,product=CODE,maxLag=5m";

/// How long records wait where nobody says so.
const DEFAULT_MAX_LAG: Duration = Duration::from_secs(300);

/// A shorter wait would be over at the first hiccup of a receiver.
const MIN_MAX_LAG: Duration = Duration::from_secs(60);

/// A product's sink, as the command line names it.
#[derive(Clone, Debug)]
pub(crate) struct ProductSink {
    destination: Destination,
    filter: ProductFilter,
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
            filter: ProductFilter::new(name, code, max_lag),
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

/// These destinations, and those of products.
///
/// # Errors
/// Two sinks of products with one name, or with one place and one product.
pub(crate) fn with_product_sinks(
    mut destinations: Vec<Destination>,
    sinks: Vec<ProductSink>,
) -> Result<Vec<Destination>, ProductSinkError> {
    for ProductSink { destination, filter } in sinks {
        let name = filter.name().to_owned();
        let destination = destination.for_product(filter);
        for other in &destinations {
            if other.product().is_some_and(|other| other.name() == name) {
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

#[cfg(test)]
mod tests {
    use super::*;

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
}
