//! What is counted of the delivery to volumes.

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use strongroom_process::DurationHistogram;

use crate::gateway::problem::Code;

strongroom_process::metrics! {
    /// The counters of all nodes' streams; cheap to clone.
    #[derive(Clone)]
    pub(in crate::gateway) struct DeliveryMetrics {
        /// Changes that volumes of running pods had to show: of a secret that a volume has, or that it missed
        /// while its node had no stream.
        pub(in crate::gateway) changes: Counter = "delivery_changes",
        /// Time from the commit of a change to the files of a volume, as its node acknowledges it; of each of
        /// `strongroom_delivery_changes_total` that was shown.
        pub(in crate::gateway) seconds: DurationHistogram = "delivery_seconds",
        /// Subscriptions of volumes that were refused, and secrets that volumes lost, by the `code` that is
        /// audited. At most 39 codes.
        refused: Family<CodeLabel, Counter> = "delivery_refused",
    }
}

strongroom_process::labels! {
    struct CodeLabel {
        code: &'static str,
    }
}

impl DeliveryMetrics {
    /// A volume was refused a secret, or lost it.
    pub(super) fn refused(&self, code: Code) {
        let code = code.as_str();
        self.refused.get_or_create(&CodeLabel { code }).inc();
    }
}
