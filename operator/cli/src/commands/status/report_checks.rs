//! Checks of what the process with the store says of itself. Pure.

use jiff::Timestamp;
use strongroom_api::installation_status::{CheckName, StatusCheck};
use strongroom_api::process_report::{
    CERTIFICATE_ENDS_ANNOTATION, KindCount, ProcessReport, ProductReport, SinkReport, VolumeReport,
};

use super::check_result::{
    CheckResult, ago, failing, in_place, known, of_item, ok, percent, unknown, warning,
};
use super::facts::Facts;
use crate::output::bytes;

/// A process that said nothing for so long is away; it says something twice a minute.
const REPORT_SILENCE_SECONDS: i64 = 180;
/// A store that did not answer a look for so long does not answer, as in the alert.
const STORE_SILENCE_SECONDS: i64 = 300;
/// How many percent of the volume should be free, as in the alert, and how many must be.
const LITTLE_FREE_PERCENT: u64 = 15;
const NO_FREE_PERCENT: u64 = 3;
/// How full the audit log should be at most, as in the alert.
const AUDIT_NEAR_BOUND_PERCENT: u64 = 80;
/// How far back the audit log should reach, as in the alert.
const AUDIT_FEW_HOURS: f64 = 24.0;
/// How old a record may be that a sink has not taken, as in the alerts.
const SINK_LAG_SECONDS: u64 = 300;
const EVENTS_LAG_SECONDS: u64 = 600;
/// The sink of Kubernetes Events.
const EVENTS_SINK: &str = "kubernetes-events";
/// A certificate is renewed ten days before it ends; one that is not is late after five, as in the alert.
const CERTIFICATE_SECONDS: i64 = 5 * 86_400;

/// The report, or a check that says why there is none.
pub(super) fn report(facts: &Facts, check: CheckName) -> CheckResult<&ProcessReport> {
    known(check, &facts.process, "the process has not reported yet")
}

pub(super) fn store(facts: &Facts) -> CheckResult {
    const NAME: CheckName = CheckName::Store;
    let report = report(facts, NAME)?;
    let store = &report.store;
    let logs = in_place(facts, "read the log: `kubectl -n strongroom logs POD`");
    if facts.now.duration_since(report.at).as_secs() > REPORT_SILENCE_SECONDS {
        let detail = format!(
            "the process last reported {}, by the clock of this machine; what it knows is as of then",
            ago(facts.now, report.at)
        );
        return Ok(warning(NAME, detail, logs));
    }
    let detail = format!(
        "open, release {}, format {}, {} commits, {} secrets, {}",
        report.version,
        store.format,
        store.commits,
        store.secrets,
        bytes(store.bytes)
    );
    Ok(match store.verified {
        Some(at) if report.at.duration_since(at).as_secs() > STORE_SILENCE_SECONDS => failing(
            NAME,
            format!("its records could last be read {}", ago(facts.now, at)),
            format!("{logs}; read docs/runbooks/StrongroomStoreSilent.md"),
        ),
        _ => ok(NAME, detail),
    })
}

pub(super) fn volume(facts: &Facts) -> CheckResult {
    const NAME: CheckName = CheckName::Space;
    let Some(volume) = report(facts, NAME)?.volume else {
        return Ok(unknown(NAME, "the file system does not say how large it is"));
    };
    let VolumeReport {
        bytes: size,
        free_bytes,
    } = volume;
    let detail = format!("{} of {} free", bytes(free_bytes), bytes(size));
    let action =
        "give the volume more space, or the audit log less: read docs/runbooks/StrongroomVolumeFills.md";
    Ok(match percent(free_bytes, Some(size)) {
        Some(free) if free < NO_FREE_PERCENT => failing(NAME, detail, action),
        Some(free) if free < LITTLE_FREE_PERCENT => warning(NAME, detail, action),
        _ => ok(NAME, detail),
    })
}

pub(super) fn audit_log(facts: &Facts) -> CheckResult {
    const NAME: CheckName = CheckName::AuditLog;
    let report = match (report(facts, NAME), facts.held_hours) {
        (Ok(report), _) => report,
        // Whoever may list the log may know how far back it reaches.
        (Err(_), Some(hours)) => return Ok(reaches_back(held(hours), Some(hours))),
        (Err(unknown), None) => return Err(unknown),
    };
    let audit = &report.audit;
    let size = match audit.bound_bytes {
        Some(bound) => format!("{} of {}", bytes(audit.bytes), bytes(bound)),
        None => bytes(audit.bytes),
    };
    let detail = match audit.held_hours {
        Some(hours) => format!("{size}; {}", held(hours)),
        None => size,
    };
    if audit.full {
        return Ok(failing(
            NAME,
            format!("full, so reads are refused: {detail}"),
            "read docs/runbooks/StrongroomAuditFull.md",
        ));
    }
    let used = percent(audit.bytes, audit.bound_bytes);
    if used.is_some_and(|used| used > AUDIT_NEAR_BOUND_PERCENT) {
        return Ok(warning(
            NAME,
            detail,
            "read docs/runbooks/StrongroomAuditNearBound.md",
        ));
    }
    Ok(reaches_back(detail, audit.held_hours))
}

fn held(hours: f64) -> String {
    format!("at its present rate it holds {}", length(hours))
}

fn reaches_back(detail: String, hours: Option<f64>) -> StatusCheck {
    if hours.is_some_and(|hours| hours < AUDIT_FEW_HOURS) {
        let action =
            "give it more space, or send it to a sink: read docs/runbooks/StrongroomAuditHoldsLittle.md";
        warning(CheckName::AuditLog, detail, action)
    } else {
        ok(CheckName::AuditLog, detail)
    }
}

/// Hours as people say them.
fn length(hours: f64) -> String {
    if hours >= 72.0 {
        format!("{:.0} days", (hours / 24.0).floor())
    } else {
        format!("{hours:.0} hours")
    }
}

pub(super) fn audit_sinks(facts: &Facts) -> CheckResult<Vec<StatusCheck>> {
    let sinks = report(facts, CheckName::AuditSink)?.sinks.iter();
    Ok(sinks.map(|sink| of_item(&sink.name, audit_sink(sink))).collect())
}

fn audit_sink(sink: &SinkReport) -> StatusCheck {
    const NAME: CheckName = CheckName::AuditSink;
    let events = sink.name == EVENTS_SINK;
    let limit = if events {
        EVENTS_LAG_SECONDS
    } else {
        SINK_LAG_SECONDS
    };
    let failures = match sink.failures {
        0 => String::new(),
        count => format!("; {count} attempts failed since the process started"),
    };
    let page = if events {
        "StrongroomEventsLag"
    } else {
        "StrongroomAuditSinkBehind"
    };
    if sink.lag_seconds > limit {
        let detail = format!("{} s behind{failures}", sink.lag_seconds);
        return failing(NAME, detail, format!("read docs/runbooks/{page}.md"));
    }
    if sink.lost_records > 0 {
        let detail = format!("{} records were cut before it took them", sink.lost_records);
        return warning(NAME, detail, "read docs/runbooks/StrongroomAuditSinkLost.md");
    }
    match sink.lag_seconds {
        0 => ok(NAME, format!("up to date{failures}")),
        lag => ok(NAME, format!("{lag} s behind{failures}")),
    }
}

pub(super) fn certificates(facts: &Facts) -> CheckResult<Vec<StatusCheck>> {
    let certificates = report(facts, CheckName::Certificate)?.certificates.iter();
    Ok(certificates
        .map(|certificate| of_item(&certificate.server, ends(facts.now, certificate.ends)))
        .collect())
}

/// That of the extension API server, which says so in its APIService.
pub(super) fn extension_api_certificate(facts: &Facts) -> StatusCheck {
    const NAME: CheckName = CheckName::Certificate;
    let check = known(NAME, &facts.service, "there is no APIService").map(|service| {
        let annotations = service.metadata.annotations.as_ref();
        let told = annotations.and_then(|annotations| annotations.get(CERTIFICATE_ENDS_ANNOTATION));
        match told.and_then(|told| told.parse().ok()) {
            Some(at) => ends(facts.now, at),
            None => unknown(NAME, "the extension API server has not said yet when it ends"),
        }
    });
    of_item("extension API", check.unwrap_or_else(|unknown| unknown))
}

fn ends(now: Timestamp, at: Timestamp) -> StatusCheck {
    const NAME: CheckName = CheckName::Certificate;
    let left = at.duration_since(now).as_secs();
    let action = "read docs/runbooks/StrongroomServingCertificateExpires.md";
    match left {
        ..=0 => failing(NAME, format!("ended at {at:.0}"), action),
        1..CERTIFICATE_SECONDS => warning(NAME, format!("ends at {at:.0}, and should be renewed"), action),
        _ => ok(NAME, format!("until {at:.0}, {} days", left / 86_400)),
    }
}

pub(super) fn nodes(facts: &Facts) -> CheckResult<Vec<StatusCheck>> {
    const NAME: CheckName = CheckName::Nodes;
    let report = report(facts, NAME)?;
    let Some(nodes) = &report.nodes else {
        return Ok(Vec::new());
    };
    let page = "read docs/runbooks/StrongroomNodeDisconnected.md";
    let connected: u64 = nodes.plugins.iter().map(|plugin| plugin.nodes).sum();
    let versions: Vec<String> = nodes
        .plugins
        .iter()
        .map(|plugin| format!("{} with release {}", plugin.nodes, plugin.version))
        .collect();
    let detail = match connected {
        0 => "none connected".to_owned(),
        _ => format!("{connected} connected: {}", versions.join(", ")),
    };
    let is_other = nodes
        .plugins
        .iter()
        .any(|plugin| plugin.version != report.version);
    let mut checks = vec![if connected == 0 {
        warning(NAME, detail, page)
    } else if is_other {
        let action = format!(
            "the process has release {}: see whether the DaemonSet has rolled out",
            report.version
        );
        warning(NAME, detail, action)
    } else {
        ok(NAME, detail)
    }];
    if nodes.volumes_away > 0 {
        let detail = format!(
            "{} volumes of pods are on nodes that are not connected",
            nodes.volumes_away
        );
        checks.push(warning(NAME, detail, page));
    }
    Ok(checks)
}

pub(super) fn waiting_deletions(facts: &Facts) -> CheckResult<Vec<StatusCheck>> {
    const NAME: CheckName = CheckName::Deletions;
    let waiting = &report(facts, NAME)?.waiting_deletions;
    if waiting.is_empty() {
        return Ok(vec![ok(NAME, "none waits for confirmation")]);
    }
    let check = |KindCount { kind, count }: &KindCount| {
        let map = if kind == "EncryptionKey" {
            "strongroom-key-deletions"
        } else {
            "strongroom-deletions"
        };
        let command = in_place(facts, "`kubectl -n strongroom describe configmap ");
        let action = format!("{command}{map}` lists them, and says how to confirm");
        let detail = format!("{count} deletions of {kind} objects wait for confirmation");
        warning(NAME, detail, action)
    };
    Ok(waiting.iter().map(check).collect())
}

pub(super) fn rotations(facts: &Facts) -> CheckResult {
    const NAME: CheckName = CheckName::Rotations;
    Ok(match report(facts, NAME)?.overdue_rotations {
        0 => ok(NAME, "none is overdue"),
        count => warning(
            NAME,
            format!("{count} secrets should have been rotated"),
            "read docs/runbooks/StrongroomRotationsOverdue.md",
        ),
    })
}

pub(super) fn failing_objects(facts: &Facts) -> CheckResult<Vec<StatusCheck>> {
    const NAME: CheckName = CheckName::Objects;
    let failing = &report(facts, NAME)?.failing_objects;
    if failing.is_empty() {
        return Ok(vec![ok(NAME, "none fails in the cluster")]);
    }
    let check = |KindCount { kind, count }: &KindCount| {
        let action = format!(
            "`kubectl get {} --all-namespaces` shows which are not ready, and the condition Ready says why",
            kind.to_lowercase()
        );
        warning(
            NAME,
            format!("{count} of kind {kind} fail in the cluster"),
            action,
        )
    };
    Ok(failing.iter().map(check).collect())
}

/// A line for each product; none where the process has not reported, which other checks say.
pub(super) fn products(facts: &Facts) -> Vec<StatusCheck> {
    const NAME: CheckName = CheckName::Product;
    let check = |product: &ProductReport| {
        let ProductReport {
            code,
            secrets,
            max_secrets,
            problem,
        } = product;
        let used = format!("{secrets} of {max_secrets} secrets");
        let check = match problem {
            None => ok(NAME, used),
            Some(reason) => warning(
                NAME,
                format!("{reason}; {used}"),
                format!("`kubectl describe secretproduct {code}` says in its conditions what to do"),
            ),
        };
        of_item(code, check)
    };
    match report(facts, NAME) {
        Ok(report) => report.products.iter().map(check).collect(),
        Err(_) => Vec::new(),
    }
}
