//! What the process has for products alone, as SecretProducts name it: gateways and audit sinks. The list
//! does not change while the process runs; the backlog of a sink does.

use std::collections::BTreeMap;

use strongroom_model::ProductCode;

use super::sink_backlog::{SinkBacklog, SinkBacklogHandle};

/// The dedicated gateways and the sinks of products.
#[derive(Clone, Debug, Default)]
pub(crate) struct ProductEndpoints {
    /// The products that each gateway is for, by its name.
    gateways: BTreeMap<String, Vec<ProductCode>>,
    /// The product of each sink, and what waits for it, by its name.
    sinks: BTreeMap<String, (ProductCode, SinkBacklogHandle)>,
}

/// What a product gets of a gateway or a sink that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EndpointMatch {
    /// It is the product's.
    Own,
    /// There is one of the name, for others.
    ForOthers,
    /// There is none of the name.
    Missing,
}

impl ProductEndpoints {
    /// With these gateways and sinks, each by its name.
    pub(crate) fn new(
        gateways: impl IntoIterator<Item = (String, Vec<ProductCode>)>,
        sinks: impl IntoIterator<Item = (String, ProductCode, SinkBacklogHandle)>,
    ) -> Self {
        let sinks = sinks.into_iter();
        Self {
            gateways: gateways.into_iter().collect(),
            sinks: sinks
                .map(|(name, product, backlog)| (name, (product, backlog)))
                .collect(),
        }
    }

    /// Whether the product has the gateway of this name.
    pub(crate) fn gateway(&self, name: &str, product: &ProductCode) -> EndpointMatch {
        let products = self.gateways.get(name);
        EndpointMatch::new(products.map(|products| products.contains(product)))
    }

    /// Whether the product has the audit sink of this name.
    pub(crate) fn audit_sink(&self, name: &str, product: &ProductCode) -> EndpointMatch {
        EndpointMatch::new(self.sinks.get(name).map(|(owner, _)| owner == product))
    }

    /// What waits for the audit sink of this name, where the product has it.
    pub(crate) fn backlog(&self, name: &str, product: &ProductCode) -> Option<SinkBacklog> {
        let (owner, backlog) = self.sinks.get(name)?;
        (owner == product).then(|| backlog.get())
    }
}

impl EndpointMatch {
    const fn new(is_own: Option<bool>) -> Self {
        match is_own {
            Some(true) => Self::Own,
            Some(false) => Self::ForOthers,
            None => Self::Missing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_product_has_what_is_there_for_it() {
        let code = |text: &str| -> ProductCode { text.parse().unwrap() };
        let backlog = SinkBacklogHandle::default();
        let endpoints = ProductEndpoints::new(
            [("edge".to_owned(), vec![code("aigw"), code("aigw-edge")])],
            [("siem".to_owned(), code("aigw"), backlog.clone())],
        );
        for (name, product, gateway, sink) in [
            ("edge", "aigw", EndpointMatch::Own, EndpointMatch::Missing),
            ("edge", "aigw-edge", EndpointMatch::Own, EndpointMatch::Missing),
            ("edge", "pg", EndpointMatch::ForOthers, EndpointMatch::Missing),
            ("siem", "aigw", EndpointMatch::Missing, EndpointMatch::Own),
            ("siem", "pg", EndpointMatch::Missing, EndpointMatch::ForOthers),
            ("shared", "aigw", EndpointMatch::Missing, EndpointMatch::Missing),
        ] {
            let product = code(product);
            assert_eq!(endpoints.gateway(name, &product), gateway, "{name} {product}");
            assert_eq!(endpoints.audit_sink(name, &product), sink, "{name} {product}");
            let waits = (sink == EndpointMatch::Own).then_some(SinkBacklog::PassedBy);
            backlog.set(SinkBacklog::PassedBy);
            assert_eq!(endpoints.backlog(name, &product), waits, "{name} {product}");
        }
    }
}
