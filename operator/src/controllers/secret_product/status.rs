//! The status of a `SecretProduct`: whether it can act, and how many secrets it has.

use std::collections::BTreeMap;

use jiff::{SignedDuration, Timestamp};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{Resource, ResourceExt};
use strongroom_crds::condition::{ConditionStatus, ConditionType, Reason, condition};
use strongroom_crds::v1alpha1::{
    HostingUsage as HostingUsageStatus, ManagerSighting, ProductUsage as UsageStatus, SecretProduct,
    SecretProductStatus,
};
use strongroom_model::Hosting;
use strongroom_rules::object::{ReadySummary, ready_conditions};
use strongroom_store::vault::{ProductQuota, ProductUsage};

use super::directory::ReadableProduct;
use super::events;
use crate::controllers::Ctx;
use crate::controllers::cached_object::CachedObject;
use crate::controllers::failure::Failure;
use crate::controllers::metrics::ProductNumbers;
use crate::controllers::runtime::status_writer::{self, StatusSubject};
use crate::products::{EndpointMatch, ManagerSightings, ProductEndpoints, ProductRecognition, SinkBacklog};

/// How old the oldest record is that waits for a sink of which that is said: a sink that is asked again and
/// takes it is no news.
const MAX_UNSAID_LAG: SignedDuration = SignedDuration::from_secs(60);

/// What there is to say of a product.
pub(super) enum ProductReport<'a> {
    /// It has a code that no product can have; why.
    CodeReserved(String),
    /// It does not fit its type; where.
    Unreadable(String),
    /// It was read.
    Read {
        product: &'a ReadableProduct,
        recognition: ProductRecognition,
        /// Managers that are not there, as `namespace/name`.
        missing: Vec<String>,
        usage: ProductUsage,
        /// What the process has for products.
        endpoints: &'a ProductEndpoints,
        /// When the managers were last seen.
        sightings: &'a ManagerSightings,
    },
}

/// Writes it, and tells what is new by an Event.
pub(super) async fn write(
    ctx: &Ctx,
    kept: &CachedObject<SecretProduct>,
    report: ProductReport<'_>,
    now: Timestamp,
) -> Result<(), Failure> {
    let before: SecretProductStatus = kept.status().unwrap_or_default();
    let generation = kept.meta().generation;
    let status = described(&before, &report, generation, now);
    let (name, uid) = (kept.name_any(), kept.uid().unwrap_or_default());
    ctx.metrics.product(&name, Some(numbers(&report, &status)));
    let subject = StatusSubject {
        namespace: "",
        name: &name,
        uid: &uid,
    };
    status_writer::write::<SecretProduct, _>(&ctx.client, subject, &before, &status).await?;
    if let ProductReport::Read { recognition, .. } = &report {
        events::waits(ctx, kept, &before, recognition).await;
    }
    Ok(())
}

fn described(
    before: &SecretProductStatus,
    report: &ProductReport<'_>,
    generation: Option<i64>,
    now: Timestamp,
) -> SecretProductStatus {
    let ready = standing(report);
    let mut wanted = ready_conditions(&ready, generation, now);
    let mut status = SecretProductStatus {
        observed_generation: generation,
        managers_seen: before.managers_seen.clone(),
        ..SecretProductStatus::default()
    };
    if let ProductReport::Read {
        product,
        recognition,
        usage,
        endpoints,
        sightings,
        ..
    } = report
    {
        wanted.push(quota_condition(product, usage, generation, now));
        wanted.extend(sink_condition(product, endpoints, generation, now));
        status.managers_seen = managers_seen(&before.managers_seen, product, sightings);
        status.used = Some(used(product, usage));
        let totals = product.observed.hosting.values().map(|quota| quota.total);
        status.quota = Some(count(totals.fold(0, u64::saturating_add)));
        status.adoption_token = match recognition {
            ProductRecognition::Changed { token, .. } => Some(token.clone()),
            ProductRecognition::Recognized { .. } => None,
        };
    }
    status.conditions = status_writer::conditions(&before.conditions, wanted);
    status
}

/// What metrics and the report of the process say of it.
fn numbers(report: &ProductReport<'_>, status: &SecretProductStatus) -> ProductNumbers {
    let hosting = match report {
        ProductReport::Read { product, usage, .. } => {
            let used = |hosting: &Hosting| usage.hosting.get(hosting).map_or(0, |used| used.secrets);
            let offered = product.observed.hosting.iter();
            offered
                .map(|(hosting, quota)| (*hosting, (used(hosting), quota.total)))
                .collect()
        }
        ProductReport::CodeReserved(_) | ProductReport::Unreadable(_) => BTreeMap::new(),
    };
    let told = [ConditionType::Ready, ConditionType::QuotaAvailable];
    let problem = status.conditions.iter().find(|condition| {
        condition.status != ConditionStatus::True.as_str()
            && told.iter().any(|type_| type_.as_str() == condition.type_)
    });
    ProductNumbers {
        hosting,
        problem: problem.map(|condition| condition.reason.clone()),
    }
}

/// The first thing that keeps it from acting, or from acting as its spec says.
fn standing(report: &ProductReport<'_>) -> ReadySummary {
    let (product, recognition, missing, endpoints) = match report {
        ProductReport::CodeReserved(why) => {
            return ReadySummary::failed(Reason::CodeReserved, format!("{why}; choose another name"));
        }
        ProductReport::Unreadable(why) => return ReadySummary::failed(Reason::SourceInvalid, why.clone()),
        ProductReport::Read {
            product,
            recognition,
            missing,
            endpoints,
            ..
        } => (product, recognition, missing, endpoints),
    };
    let code = &product.observed.code;
    let spec = &product.spec;
    if let ProductRecognition::Changed { differences, .. } = recognition {
        let message = format!(
            "nothing of the secrets `{code}!…` is changed, because the product is another one than they were made by: {}; if it may have them, \
             run `kubectl strongroom product adopt {code}`, which takes the verb manage on secretproducts; else delete it",
            differences.join("; ")
        );
        return ReadySummary::failed(Reason::ProductChanged, message);
    }
    if spec.suspend == Some(true) {
        let message = "`spec.suspend` is true: the managers are refused every write, and reads go on";
        return ReadySummary {
            ready: ConditionStatus::False,
            reason: Reason::Suspended,
            message: message.to_owned(),
        };
    }
    if !missing.is_empty() {
        let message = format!(
            "these ServiceAccounts of `spec.managers` do not exist: {}; create them, or change `spec.managers`",
            missing.join(", ")
        );
        return ReadySummary::failed(Reason::ManagerMissing, message);
    }
    if let Some((reason, message)) = missing_endpoint(product, endpoints) {
        return ReadySummary::failed(reason, message);
    }
    ReadySummary {
        ready: ConditionStatus::True,
        reason: Reason::Ready,
        message: format!("the managers own the secrets `{code}!…` in the selected namespaces"),
    }
}

/// The gateway or the sink that the spec names and that the product does not have.
fn missing_endpoint(product: &ReadableProduct, endpoints: &ProductEndpoints) -> Option<(Reason, String)> {
    let (paid, code) = (product.spec.paid.as_ref()?, &product.observed.code);
    let lacks = |found: EndpointMatch, what: String| match found {
        EndpointMatch::Own => None,
        EndpointMatch::ForOthers => Some(format!("{what} is for other products")),
        EndpointMatch::Missing => Some(format!("there is no {what}")),
    };
    let gateway = paid.gateway.as_deref().and_then(|name| {
        let why = lacks(endpoints.gateway(name, code), format!("gateway `{name}`"))?;
        let message = format!(
            "{why}: the paid secrets are read at the shared gateway alone; add the gateway to the chart's `gateways` with `{code}` among its \
             `products`, or remove `spec.paid.gateway`"
        );
        Some((Reason::GatewayMissing, message))
    });
    gateway.or_else(|| {
        let name = paid.audit_sink.as_deref()?;
        let why = lacks(endpoints.audit_sink(name, code), format!("audit sink `{name}`"))?;
        let message = format!(
            "{why}: the records go where all records go; add the sink to the chart's `audit.productSinks` with the product `{code}`, or remove \
             `spec.paid.auditSink`"
        );
        Some((Reason::SinkMissing, message))
    })
}

/// Whether each hosting that is offered has room, in all and in each namespace where there are secrets.
fn quota_condition(
    product: &ReadableProduct,
    usage: &ProductUsage,
    generation: Option<i64>,
    now: Timestamp,
) -> Condition {
    let full: Vec<String> = product
        .observed
        .hosting
        .iter()
        .flat_map(|(hosting, quota)| used_up(*hosting, *quota, usage))
        .collect();
    let (status, reason, message) = if full.is_empty() {
        let message = "the product may own more secrets".to_owned();
        (ConditionStatus::True, Reason::QuotaAvailable, message)
    } else {
        let message = format!(
            "{}; raise `spec.quota`, or have secrets deleted and wait for their recovery windows to end",
            full.join("; ")
        );
        (ConditionStatus::False, Reason::QuotaExceeded, message)
    };
    let type_ = ConditionType::QuotaAvailable;
    condition(type_, status, reason, message, generation, Time(now))
}

/// Whether the product's own sink has its audit records. None where it has no such sink; if it names one,
/// Ready says so.
fn sink_condition(
    product: &ReadableProduct,
    endpoints: &ProductEndpoints,
    generation: Option<i64>,
    now: Timestamp,
) -> Option<Condition> {
    let name = product.spec.paid.as_ref()?.audit_sink.as_deref()?;
    let (status, reason, message) = match endpoints.backlog(name, &product.observed.code)? {
        SinkBacklog::Waiting(oldest) if now.duration_since(oldest) > MAX_UNSAID_LAG => (
            ConditionStatus::False,
            Reason::SinkLagging,
            format!(
                "the sink `{name}` does not take records: the oldest is of {oldest}, and when its `maxLag` is over they go by it; look at the \
                 receiver, and at what the log of Strongroom says of the sink"
            ),
        ),
        SinkBacklog::PassedBy => (
            ConditionStatus::False,
            Reason::RecordsLost,
            format!(
                "records went by the sink `{name}`, which did not take them in time; they are in the audit log (`kubectl strongroom audit`), and \
                 once the sink takes records again, one says which it lacks; look at the receiver"
            ),
        ),
        SinkBacklog::Waiting(_) | SinkBacklog::Empty => (
            ConditionStatus::True,
            Reason::Delivered,
            format!("the sink `{name}` has the records about the product's secrets"),
        ),
    };
    let type_ = ConditionType::Delivered;
    Some(condition(type_, status, reason, message, generation, Time(now)))
}

/// When each manager was last seen: as requests and objects tell, or as an earlier process wrote.
fn managers_seen(
    before: &[ManagerSighting],
    product: &ReadableProduct,
    sightings: &ManagerSightings,
) -> Vec<ManagerSighting> {
    let code = product.observed.code.as_str();
    let managers = product.spec.managers.iter();
    managers
        .filter_map(|manager| {
            let mut known = before.iter();
            let known = known.find(|seen| seen.namespace == manager.namespace && seen.name == manager.name);
            let last = sightings.last(code, (&manager.namespace, &manager.name));
            let last = last.max(known.map(|seen| seen.last.0))?;
            Some(ManagerSighting {
                namespace: manager.namespace.clone(),
                name: manager.name.clone(),
                last: Time(last),
            })
        })
        .collect()
}

/// What of a hosting is used up, in words.
fn used_up(hosting: Hosting, quota: ProductQuota, usage: &ProductUsage) -> Vec<String> {
    /// Most namespaces that a message names.
    const MAX_NAMED: usize = 5;
    let Some(used) = usage.hosting.get(&hosting) else {
        return Vec::new();
    };
    let mut full = Vec::new();
    if used.secrets >= quota.total {
        full.push(format!("{hosting}: {} of {} in all", used.secrets, quota.total));
    }
    let namespaces = used.namespaces.iter();
    let namespaces = namespaces.filter(|(_, secrets)| **secrets >= quota.per_namespace);
    full.extend(namespaces.take(MAX_NAMED).map(|(namespace, secrets)| {
        format!(
            "{hosting}: {secrets} of {} in namespace `{namespace}`",
            quota.per_namespace
        )
    }));
    full
}

fn used(product: &ReadableProduct, usage: &ProductUsage) -> UsageStatus {
    let of = |hosting: Hosting| {
        let used = usage.hosting.get(&hosting)?;
        let is_offered = product.observed.hosting.contains_key(&hosting);
        (is_offered || used.secrets > 0).then(|| HostingUsageStatus {
            secrets: count(used.secrets),
            namespaces: i64::try_from(used.namespaces.len()).unwrap_or(i64::MAX),
        })
    };
    let secrets = usage.hosting.values().map(|used| used.secrets);
    UsageStatus {
        secrets: count(secrets.fold(0, u64::saturating_add)),
        free: of(Hosting::Free),
        paid: of(Hosting::Paid),
    }
}

fn count(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}
