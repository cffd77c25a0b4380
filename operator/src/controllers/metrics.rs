//! Numbers about the controllers, for Prometheus.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::atomic::AtomicU64;

use jiff::Timestamp;
use parking_lot::Mutex;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use strongroom_model::Hosting;
use strongroom_rules::retry::ErrorClass;

use super::failing_objects::FailingObjects;

strongroom_process::metrics! {
    /// Counters and gauges of all controllers.
    pub(crate) struct Metrics {
        /// Attempts to reconcile an object.
        reconciles: Family<KindLabel, Counter> = "reconciles",
        /// Attempts that failed, by class of error.
        errors: Family<KindAndClassLabels, Counter> = "reconcile_errors",
        /// Versions made by the controllers, because of a spec, an import or a rotation.
        pub(crate) versions: Counter = "versions",
        /// Statuses written.
        pub(crate) status_writes: Counter = "status_writes",
        /// Native Secrets that were put back after somebody else changed them, by namespace.
        repairs: Family<NamespaceLabel, Counter> = "native_secret_repairs",
        /// Deletions that wait for confirmation in the ConfigMap strongroom-deletions or
        /// strongroom-key-deletions.
        deletions_waiting: Family<KindLabel, Gauge> = "deletions_waiting",
        /// Recovery windows opened, and destructions of keys scheduled, because an object was gone.
        pub(crate) deletions: Counter = "deletions",
        /// Data keys wrapped anew under another key or version of it.
        pub(crate) rewrapped: Counter = "rewrapped",
        /// Data keys that have to be wrapped anew and cannot, because a key is disabled or goes.
        pub(crate) rewrap_refused: Gauge = "rewrap_refused",
        /// Watches that broke off.
        pub(crate) watch_errors: Counter = "watch_errors",
        /// Changes and deletions of objects that the webhook did not see, so that nobody knows whose they
        /// are, by kind.
        unattested: Family<KindLabel, Counter> = "unattested_changes",
        /// Objects that wait for a reconcile; those that wait for a time are not among them.
        queue: Family<KindLabel, Gauge> = "queue",
        /// What the gauge counts: an object that is triggered twice before it is looked at waits once.
        waiting: Mutex<HashSet<Place>>,
        /// Objects whose last attempt to reconcile failed; their condition Ready and one line of the log say
        /// why.
        failing: Family<KindLabel, Gauge> = "failing_objects",
        /// Which those are.
        failing_objects: FailingObjects,
        /// When the soonest rotation of all schedules is due, seconds since the epoch; 0 where none is.
        next_rotation: Gauge<f64, AtomicU64> = "next_rotation_timestamp_seconds",
        /// When that of each schedule is.
        rotations: Mutex<HashMap<(String, String), Timestamp>>,
        /// Secrets of all schedules whose rotation is more than fifteen minutes late.
        rotations_overdue: Gauge = "rotations_overdue",
        /// How many those of each schedule are.
        overdue: Mutex<HashMap<(String, String), usize>>,
        /// When the certificate in the current version of a ManagedSecret ends, seconds since the epoch.
        certificates: Family<CertificateLabels, Gauge> = "certificate_expiration_timestamp_seconds",
        /// When the certificate in the current version of a ManagedSecret should have been renewed at the
        /// latest, half way between its renewal and its end, seconds since the epoch.
        deadlines: Family<CertificateLabels, Gauge> = "certificate_renewal_deadline_timestamp_seconds",
        /// The key that the gauge has for each object.
        certified: Mutex<HashMap<(String, String), String>>,
        /// Default secrets of a product, by hosting, those in recovery windows included.
        product_secrets: Family<ProductLabels, Gauge> = "product_secrets",
        /// How many default secrets a product may have in all namespaces, by hosting: `spec.quota` of its
        /// SecretProduct.
        product_limits: Family<ProductLabels, Gauge> = "product_secrets_limit",
        /// Products whose condition Ready or QuotaAvailable is not True.
        products_unwell: Gauge = "products_unwell",
        /// How each product stands.
        products: Mutex<BTreeMap<String, ProductNumbers>>,
    }
}

/// An object: its kind, namespace and name.
type Place = (&'static str, String, String);

strongroom_process::labels! {
    struct KindLabel {
        kind: &'static str,
    }

    struct KindAndClassLabels {
        kind: &'static str,
        class: &'static str,
    }

    struct NamespaceLabel {
        /// Not `namespace`, which is the scraped process's own.
        secret_namespace: String,
    }

    struct CertificateLabels {
        namespace: String,
        name: String,
        key: String,
    }

    struct ProductLabels {
        product: String,
        hosting: &'static str,
    }
}

/// The metrics of a product.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ProductNumbers {
    /// By hosting that it offers: how many default secrets it has, and may have.
    pub(crate) hosting: BTreeMap<Hosting, (u64, u64)>,
    /// The reason of the condition that is not True.
    pub(crate) problem: Option<String>,
}

impl ProductNumbers {
    /// How many default secrets it has, and may have, of both hostings.
    pub(crate) fn in_all(&self) -> (u64, u64) {
        let add = |(used, limit): (u64, u64), (more, most): &(u64, u64)| {
            (used.saturating_add(*more), limit.saturating_add(*most))
        };
        self.hosting.values().fold((0, 0), add)
    }
}

/// The metrics of the certificate of a ManagedSecret.
#[derive(Clone, Copy, Debug)]
pub(crate) struct CertificateTimes<'a> {
    /// Key of the value that the certificate is under.
    pub(crate) key: &'a str,
    /// When it ends.
    pub(crate) ends: Timestamp,
    /// When it should have been renewed.
    pub(crate) deadline: Timestamp,
}

impl Metrics {
    /// So many deletions of a kind wait for a person.
    pub(crate) fn deletions_wait(&self, kind: &'static str, count: usize) {
        self.deletions_waiting
            .get_or_create(&KindLabel { kind })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// Deletions of a kind that wait for a person.
    pub(crate) fn deletions_waiting(&self, kind: &'static str) -> i64 {
        self.deletions_waiting.get_or_create(&KindLabel { kind }).get()
    }

    /// An object of this kind was changed or deleted past the webhook.
    pub(crate) fn unattested(&self, kind: &'static str) {
        self.unattested.get_or_create(&KindLabel { kind }).inc();
    }

    /// How often that was.
    #[cfg(test)]
    pub(crate) fn unattested_changes(&self, kind: &'static str) -> u64 {
        self.unattested.get_or_create(&KindLabel { kind }).get()
    }

    /// An attempt failed. Answers whether the cause is news of this object.
    pub(crate) fn failed(&self, kind: &'static str, namespace: &str, name: &str, cause: &str) -> bool {
        let (news, count) = self.failing_objects.failed(kind, namespace, name, cause);
        self.fail(kind, count);
        news
    }

    /// An object is well, or gone. Answers whether it failed before.
    pub(crate) fn recovered(&self, kind: &'static str, namespace: &str, name: &str) -> bool {
        let count = self.failing_objects.recovered(kind, namespace, name);
        if let Some(count) = count {
            self.fail(kind, count);
        }
        count.is_some()
    }

    /// How many objects fail, by kind; kinds of which none does are left out.
    pub(crate) fn failing_by_kind(&self) -> BTreeMap<&'static str, u64> {
        self.failing_objects.by_kind()
    }

    /// Secrets of all schedules whose rotation is late.
    pub(crate) fn overdue_rotations(&self) -> u64 {
        u64::try_from(self.rotations_overdue.get()).unwrap_or_default()
    }

    fn fail(&self, kind: &'static str, count: usize) {
        self.failing
            .get_or_create(&KindLabel { kind })
            .set(i64::try_from(count).unwrap_or(i64::MAX));
    }

    /// A native Secret of this namespace was put back.
    pub(crate) fn repaired(&self, namespace: &str) {
        let secret_namespace = namespace.to_owned();
        self.repairs
            .get_or_create(&NamespaceLabel { secret_namespace })
            .inc();
    }

    /// Native Secrets of this namespace that were put back.
    #[cfg(test)]
    pub(crate) fn repairs(&self, namespace: &str) -> u64 {
        let secret_namespace = namespace.to_owned();
        self.repairs
            .get_or_create(&NamespaceLabel { secret_namespace })
            .get()
    }

    /// An object is put into the queue of its kind.
    pub(crate) fn waits(&self, kind: &'static str, namespace: &str, name: &str) {
        let place = (kind, namespace.to_owned(), name.to_owned());
        if self.waiting.lock().insert(place) {
            self.queue.get_or_create(&KindLabel { kind }).inc();
        }
    }

    /// An object is taken out of the queue, to be looked at or because it is gone.
    pub(crate) fn taken(&self, kind: &'static str, namespace: &str, name: &str) {
        let place = (kind, namespace.to_owned(), name.to_owned());
        let mut waiting = self.waiting.lock();
        if waiting.remove(&place) {
            self.queue.get_or_create(&KindLabel { kind }).dec();
            if waiting.is_empty() {
                // After a burst.
                waiting.shrink_to_fit();
            }
        }
    }

    /// A schedule has its next rotation then; none where it is suspended, covers nothing, or is gone.
    pub(crate) fn rotates(&self, namespace: &str, schedule: &str, next: Option<Timestamp>) {
        let mut rotations = self.rotations.lock();
        let key = (namespace.to_owned(), schedule.to_owned());
        match next {
            Some(next) => drop(rotations.insert(key, next)),
            None => {
                rotations.remove(&key);
                self.change_overdue(|overdue| {
                    overdue.remove(&key);
                });
            }
        }
        self.show_soonest(&rotations);
    }

    /// So many secrets of a schedule are late.
    pub(crate) fn overdue(&self, namespace: &str, schedule: &str, count: usize) {
        let key = (namespace.to_owned(), schedule.to_owned());
        self.change_overdue(|overdue| match count {
            0 => drop(overdue.remove(&key)),
            count => drop(overdue.insert(key, count)),
        });
    }

    fn change_overdue(&self, change: impl FnOnce(&mut HashMap<(String, String), usize>)) {
        let mut overdue = self.overdue.lock();
        change(&mut overdue);
        let all: usize = overdue.values().sum();
        self.rotations_overdue.set(i64::try_from(all).unwrap_or(i64::MAX));
    }

    /// Forgets the schedules that are not there any more: what went while no watch ran.
    pub(crate) fn keep_rotations(&self, is_there: impl Fn(&str, &str) -> bool) {
        let mut rotations = self.rotations.lock();
        rotations.retain(|(namespace, name), _| is_there(namespace, name));
        self.change_overdue(|overdue| overdue.retain(|(namespace, name), _| is_there(namespace, name)));
        self.show_soonest(&rotations);
    }

    /// The certificate of a ManagedSecret; none where it holds none, or is gone.
    pub(crate) fn certificate(&self, namespace: &str, name: &str, certificate: Option<CertificateTimes<'_>>) {
        let mut certified = self.certified.lock();
        let place = (namespace.to_owned(), name.to_owned());
        let labels = |key: String| CertificateLabels {
            namespace: namespace.to_owned(),
            name: name.to_owned(),
            key,
        };
        let before = match certificate {
            Some(CertificateTimes { key, .. }) => certified.insert(place, key.to_owned()),
            None => certified.remove(&place),
        };
        if let Some(before) = before.filter(|before| certificate.is_none_or(|now| now.key != before)) {
            let labels = labels(before);
            self.certificates.remove(&labels);
            self.deadlines.remove(&labels);
        }
        if let Some(CertificateTimes { key, ends, deadline }) = certificate {
            let labels = labels(key.to_owned());
            self.certificates.get_or_create(&labels).set(ends.as_second());
            self.deadlines.get_or_create(&labels).set(deadline.as_second());
        }
    }

    /// Objects with a certificate, and its key.
    #[cfg(test)]
    pub(crate) fn certificates(&self) -> Vec<String> {
        let certified = self.certified.lock();
        certified
            .iter()
            .map(|((namespace, name), key)| format!("{namespace}/{name} {key}"))
            .collect()
    }

    /// Forgets the certificates of objects that are not there any more.
    pub(crate) fn keep_certificates(&self, is_there: impl Fn(&str, &str) -> bool) {
        let gone: Vec<_> = {
            let certified = self.certified.lock();
            certified
                .keys()
                .filter(|(namespace, name)| !is_there(namespace, name))
                .cloned()
                .collect()
        };
        for (namespace, name) in gone {
            self.certificate(&namespace, &name, None);
        }
    }

    /// A product stands like this; none where it is gone.
    pub(crate) fn product(&self, code: &str, numbers: Option<ProductNumbers>) {
        let mut products = self.products.lock();
        let before = match &numbers {
            Some(numbers) => products.insert(code.to_owned(), numbers.clone()),
            None => products.remove(code),
        };
        let labels = |hosting: Hosting| ProductLabels {
            product: code.to_owned(),
            hosting: hosting.as_str(),
        };
        for hosting in before.iter().flat_map(|before| before.hosting.keys()) {
            if numbers
                .as_ref()
                .is_none_or(|now| !now.hosting.contains_key(hosting))
            {
                self.product_secrets.remove(&labels(*hosting));
                self.product_limits.remove(&labels(*hosting));
            }
        }
        let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
        for (hosting, (used, limit)) in numbers.iter().flat_map(|now| &now.hosting) {
            self.product_secrets
                .get_or_create(&labels(*hosting))
                .set(count(*used));
            self.product_limits
                .get_or_create(&labels(*hosting))
                .set(count(*limit));
        }
        let unwell = products.values().filter(|product| product.problem.is_some());
        self.products_unwell
            .set(i64::try_from(unwell.count()).unwrap_or(i64::MAX));
    }

    /// How each product stands, by code.
    pub(crate) fn products(&self) -> BTreeMap<String, ProductNumbers> {
        self.products.lock().clone()
    }

    fn show_soonest(&self, rotations: &HashMap<(String, String), Timestamp>) {
        let soonest = rotations
            .values()
            .min()
            .map(|next| next.as_duration().as_secs_f64());
        self.next_rotation.set(soonest.unwrap_or(0.0));
    }

    /// Counts an attempt and its error.
    pub(crate) fn reconciled(&self, kind: &'static str, error: Option<ErrorClass>) {
        self.reconciles.get_or_create(&KindLabel { kind }).inc();
        if let Some(class) = error {
            self.errors
                .get_or_create(&KindAndClassLabels {
                    kind,
                    class: class.name(),
                })
                .inc();
        }
    }
}

#[cfg(test)]
mod tests {
    use strongroom_process::MetricRegistry;

    use super::*;

    /// The value of a metric in the text that Prometheus gets.
    fn shown(registry: &MetricRegistry, name: &str) -> Option<String> {
        let text = registry.text().unwrap();
        text.lines()
            .find_map(|line| line.strip_prefix(name)?.strip_prefix(' ').map(str::to_owned))
    }

    #[test]
    fn a_certificate_has_one_series_until_its_object_is_gone() {
        let mut registry = MetricRegistry::default();
        let metrics = Metrics::register(&mut registry);
        let series = |name: &str, key: &str| {
            format!(
                r#"certificate_expiration_timestamp_seconds{{namespace="shop",name="{name}",key="{key}"}}"#
            )
        };
        let show = |name: &str, key: &str, ends: i64| {
            let at = |seconds| Timestamp::from_second(seconds).unwrap();
            let times = CertificateTimes {
                key,
                ends: at(ends),
                deadline: at(ends - 10),
            };
            metrics.certificate("shop", name, Some(times));
        };
        show("web", "tls.crt", 1000);
        show("web", "tls.crt", 2000);
        show("gone", "tls.crt", 3000);
        assert_eq!(
            shown(&registry, &series("web", "tls.crt")).as_deref(),
            Some("2000")
        );
        show("web", "web.crt", 2000);
        assert_eq!(shown(&registry, &series("web", "tls.crt")), None);
        assert_eq!(
            shown(&registry, &series("web", "web.crt")).as_deref(),
            Some("2000")
        );
        metrics.keep_certificates(|_, name| name != "gone");
        assert_eq!(shown(&registry, &series("gone", "tls.crt")), None);
        metrics.certificate("shop", "web", None);
        assert_eq!(shown(&registry, &series("web", "web.crt")), None);
    }

    #[test]
    fn a_product_has_series_of_the_hostings_that_it_offers_until_it_is_gone() {
        let mut registry = MetricRegistry::default();
        let metrics = Metrics::register(&mut registry);
        let series = |name: &str, hosting: &str| {
            shown(
                &registry,
                &format!(r#"{name}{{product="pg",hosting="{hosting}"}}"#),
            )
        };
        let both = BTreeMap::from([(Hosting::Free, (3, 10)), (Hosting::Paid, (1, 5))]);
        let mut numbers = ProductNumbers {
            hosting: both,
            problem: None,
        };
        assert_eq!(numbers.in_all(), (4, 15));
        metrics.product("pg", Some(numbers.clone()));
        assert_eq!(series("product_secrets", "Paid").as_deref(), Some("1"));
        assert_eq!(shown(&registry, "products_unwell").as_deref(), Some("0"));
        numbers.hosting.remove(&Hosting::Paid);
        numbers.problem = Some("Suspended".to_owned());
        metrics.product("pg", Some(numbers));
        assert_eq!(series("product_secrets", "Paid"), None);
        assert_eq!(series("product_secrets_limit", "Free").as_deref(), Some("10"));
        assert_eq!(shown(&registry, "products_unwell").as_deref(), Some("1"));
        metrics.product("pg", None);
        assert_eq!(series("product_secrets", "Free"), None);
        assert_eq!(shown(&registry, "products_unwell").as_deref(), Some("0"));
    }

    #[test]
    fn an_object_waits_once_and_the_soonest_rotation_counts() {
        let mut registry = MetricRegistry::default();
        let metrics = Metrics::register(&mut registry);
        let queue = r#"queue{kind="ManagedSecret"}"#;
        for name in ["a", "a", "b"] {
            metrics.waits("ManagedSecret", "shop", name);
        }
        assert_eq!(shown(&registry, queue).as_deref(), Some("2"));
        for name in ["a", "a", "never"] {
            metrics.taken("ManagedSecret", "shop", name);
        }
        assert_eq!(shown(&registry, queue).as_deref(), Some("1"));

        let next = "next_rotation_timestamp_seconds";
        let at = |seconds| Some(Timestamp::from_second(seconds).unwrap());
        for (schedule, due, soonest) in [
            ("late", at(2000), "2000.0"),
            ("soon", at(1000), "1000.0"),
            ("soon", at(3000), "2000.0"),
            ("late", None, "3000.0"),
            ("soon", None, "0.0"),
        ] {
            metrics.rotates("shop", schedule, due);
            assert_eq!(shown(&registry, next).as_deref(), Some(soonest));
        }
        metrics.rotates("shop", "gone", at(500));
        metrics.rotates("shop", "late", at(2000));
        metrics.overdue("shop", "gone", 2);
        metrics.overdue("shop", "late", 3);
        metrics.overdue("shop", "late", 1);
        assert_eq!(shown(&registry, "rotations_overdue").as_deref(), Some("3"));
        metrics.keep_rotations(|_, name| name != "gone");
        assert_eq!(shown(&registry, next).as_deref(), Some("2000.0"));
        assert_eq!(shown(&registry, "rotations_overdue").as_deref(), Some("1"));
        metrics.rotates("shop", "late", None);
        assert_eq!(shown(&registry, "rotations_overdue").as_deref(), Some("0"));
    }
}
