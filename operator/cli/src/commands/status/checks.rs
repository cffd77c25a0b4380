//! What the facts come to: each check with its state, and what to do where it is not as it should be. Pure.

use strongroom_api::installation_status::{CheckName, StatusCheck};
use strongroom_api::v1::{StoreLimit, StoreUsage};

use super::check_result::{CheckResult, ago, failing, in_place, known, of_item, ok, percent, warning};
use super::facts::{ApiAnswer, Facts};
use super::report_checks;
use crate::installation::API_SERVICE;
use crate::output::bytes;

/// A lease that was not renewed for so long has no living holder; clocks differ by some of it.
const LEASE_SILENCE_SECONDS: i64 = 60;
/// From how many percent of its share on a namespace is nearly full, as in the alert.
const NEARLY_FULL_PERCENT: u64 = 90;
/// Namespaces that are named.
const MAX_NAMESPACES: usize = 5;

/// All checks, in the order in which they are shown.
pub(super) fn checks(facts: &Facts) -> Vec<StatusCheck> {
    let mut checks = api(facts);
    checks.extend([
        one(report_checks::store(facts)),
        one(lease(facts)),
        one(space(facts)),
        one(report_checks::audit_log(facts)),
    ]);
    checks.extend(several(report_checks::audit_sinks(facts)));
    checks.extend(several(report_checks::certificates(facts)));
    checks.push(report_checks::extension_api_certificate(facts));
    checks.extend(several(report_checks::nodes(facts)));
    checks.extend(several(report_checks::waiting_deletions(facts)));
    checks.push(one(recovery_windows(facts)));
    checks.extend(shares(facts));
    checks.extend(backups(facts));
    checks.push(one(report_checks::rotations(facts)));
    checks.extend(several(report_checks::failing_objects(facts)));
    checks.extend(report_checks::products(facts));
    checks.push(one(managed_secrets(facts)));
    checks
}

fn one(judged: CheckResult) -> StatusCheck {
    judged.unwrap_or_else(|unknown| unknown)
}

fn several(judged: CheckResult<Vec<StatusCheck>>) -> Vec<StatusCheck> {
    judged.unwrap_or_else(|unknown| vec![unknown])
}

fn api(facts: &Facts) -> Vec<StatusCheck> {
    let logs = "see whether its pods run: `kubectl -n strongroom get pods,persistentvolumeclaims`";
    let answer = match &facts.api {
        ApiAnswer::Answers(text) => ok(CheckName::Api, text.as_str()),
        ApiAnswer::Silent(text) => failing(CheckName::Api, text.as_str(), in_place(facts, logs)),
    };
    let conditions = facts.service.seen().and_then(|service| {
        let status = service.status.as_ref()?;
        status.conditions.as_ref()
    });
    let unavailable = conditions
        .into_iter()
        .flatten()
        .find(|condition| condition.type_ == "Available" && condition.status != "True")
        .map(|condition| {
            let detail = format!(
                "the extension API server is not available ({}); until it is, no namespace of the cluster can be deleted",
                condition.reason.as_deref().unwrap_or("no reason given")
            );
            let action = format!("if it stays unavailable, run: kubectl delete apiservice {API_SERVICE}");
            failing(CheckName::Api, detail, action)
        });
    std::iter::once(answer).chain(unavailable).collect()
}

fn lease(facts: &Facts) -> CheckResult {
    const NAME: CheckName = CheckName::Lease;
    let lease = known(NAME, &facts.lease, "no process has taken the lease yet")?;
    let action = in_place(
        facts,
        "see why no process runs: `kubectl -n strongroom get pods`, and their logs",
    );
    let spec = lease.spec.as_ref();
    let holder = spec.and_then(|spec| spec.holder_identity.as_deref());
    let Some(holder) = holder.filter(|holder| !holder.is_empty()) else {
        return Ok(failing(NAME, "no process holds it", action));
    };
    let Some(renewed) = spec.and_then(|spec| spec.renew_time.as_ref()) else {
        return Ok(warning(NAME, format!("held by {holder}, never renewed"), action));
    };
    let detail = format!("held by {holder}, renewed {}", ago(facts.now, renewed.0));
    Ok(
        if facts.now.duration_since(renewed.0).as_secs() > LEASE_SILENCE_SECONDS {
            warning(NAME, format!("{detail}, by the clock of this machine"), action)
        } else {
            ok(NAME, detail)
        },
    )
}

fn space(facts: &Facts) -> CheckResult {
    let claim = facts.claim.seen();
    let phase = claim.and_then(|claim| claim.status.as_ref()?.phase.as_deref());
    if let Some(phase) = phase.filter(|phase| *phase != "Bound") {
        let name = claim.and_then(|claim| claim.metadata.name.as_deref());
        let detail = format!("the claim of the store is {phase}, so Strongroom cannot start");
        let describe = "see: kubectl -n strongroom describe persistentvolumeclaim ";
        let action = in_place(facts, describe) + name.unwrap_or_default();
        return Ok(failing(CheckName::Space, detail, action));
    }
    report_checks::volume(facts)
}

fn recovery_windows(facts: &Facts) -> CheckResult {
    let namespace = facts.namespace.as_str();
    let page =
        known(CheckName::Deletions, &facts.room, "unknown").map_err(|unknown| of_item(namespace, unknown))?;
    let more = if page.next.is_some() { "at least " } else { "" };
    let detail = format!("{more}{} secrets in recovery windows", page.secrets.len());
    Ok(of_item(namespace, ok(CheckName::Deletions, detail)))
}

/// The namespace that is meant, and the fullest of the others.
fn shares(facts: &Facts) -> Vec<StatusCheck> {
    let own = known(CheckName::Share, &facts.room, "unknown");
    let own = own.map(|page| share(&facts.namespace, page.used, page.limit));
    let own = of_item(&facts.namespace, one(own));
    let others = report_checks::report(facts, CheckName::Share).map(|report| {
        let others = report
            .fullest_namespaces
            .iter()
            .filter(|other| other.namespace != facts.namespace);
        let shares = others.take(MAX_NAMESPACES).map(|other| {
            let used = StoreUsage {
                secrets: other.secrets,
                bytes: other.bytes,
            };
            let limit = StoreLimit {
                secrets: Some(other.max_secrets),
                bytes: Some(other.max_bytes),
            };
            share(&other.namespace, used, limit)
        });
        let mut shares: Vec<_> = shares.collect();
        if shares.is_empty() {
            shares.push(ok(
                CheckName::Share,
                "no other namespace uses half of what it may",
            ));
        }
        shares
    });
    std::iter::once(own).chain(several(others)).collect()
}

fn share(namespace: &str, used: StoreUsage, limit: StoreLimit) -> StatusCheck {
    let told = |used: u64, limit: Option<u64>, shown: fn(u64) -> String| {
        let used = shown(used);
        match limit {
            Some(most) => format!("{used} of {}", shown(most)),
            None => used,
        }
    };
    let detail = format!(
        "{} secrets, {}",
        told(used.secrets, limit.secrets, |count| count.to_string()),
        told(used.bytes, limit.bytes, bytes)
    );
    let fullest = percent(used.secrets, limit.secrets).max(percent(used.bytes, limit.bytes));
    let check = if fullest.is_some_and(|percent| percent >= NEARLY_FULL_PERCENT) {
        let action = format!(
            "delete what is not needed (`kubectl strongroom purge --namespace {namespace} --list`), or raise its share: docs/limits.md"
        );
        warning(CheckName::Share, detail, action)
    } else {
        ok(CheckName::Share, detail)
    };
    of_item(namespace, check)
}

fn backups(facts: &Facts) -> Vec<StatusCheck> {
    let Some(status) = facts.backups.seen() else {
        let names = [CheckName::RecoveryKeys, CheckName::Backup, CheckName::Drill];
        let unknown = names.map(|name| known(name, &facts.backups, "the process has not reported yet").err());
        return unknown.into_iter().flatten().collect();
    };
    let create = in_place(
        facts,
        "run `kubectl -n strongroom exec POD -- strongroom seal recovery-key`, and keep the key outside of the cluster",
    );
    let slots = status.recovery_slots;
    let keys = match (status.recovery_problem(), slots) {
        (Some(problem), _) => failing(CheckName::RecoveryKeys, problem, create),
        (None, 0) => warning(CheckName::RecoveryKeys, "there is none", create),
        (None, slots) => ok(CheckName::RecoveryKeys, slots.to_string()),
    };
    if status.schedule.is_none() {
        let nobody = warning(
            CheckName::Backup,
            "nobody takes backups",
            "set backup.schedule and backup.destination: docs/operate/backups.md",
        );
        return vec![keys, nobody];
    }
    let newest = status.newest.as_ref().map_or_else(
        || "no verified backup".to_owned(),
        |newest| {
            let taken = ago(facts.now, newest.taken);
            format!("last verified backup {taken}, {} secrets", newest.secrets)
        },
    );
    let backup = match status.backup_problem(facts.now) {
        Some(problem) => failing(
            CheckName::Backup,
            format!("{newest}; {problem}"),
            "read docs/runbooks/StrongroomBackupOverdue.md",
        ),
        None if status.newest.is_none() => warning(
            CheckName::Backup,
            newest,
            "the first is taken soon; look again in a few minutes",
        ),
        None => ok(CheckName::Backup, newest),
    };
    let drill = match (status.drill_problem(), &status.drill) {
        (Some(problem), _) => failing(
            CheckName::Drill,
            problem,
            "read docs/runbooks/StrongroomDrillFailed.md",
        ),
        (None, Some(drill)) => ok(
            CheckName::Drill,
            format!("last drill {}", ago(facts.now, drill.at)),
        ),
        (None, None) => warning(
            CheckName::Drill,
            "no drill was held",
            "set backup.drill.schedule, or run `strongroom drill`: docs/operate/backups.md",
        ),
    };
    vec![keys, backup, drill]
}

fn managed_secrets(facts: &Facts) -> CheckResult {
    let place = if facts.all_namespaces {
        "all namespaces"
    } else {
        facts.namespace.as_str()
    };
    let secrets =
        known(CheckName::Objects, &facts.secrets, "unknown").map_err(|unknown| of_item(place, unknown))?;
    let ready = secrets
        .iter()
        .filter(|secret| secret.ready.as_deref() == Some("True"))
        .count();
    let detail = format!("{} ManagedSecrets, {ready} ready", secrets.len());
    let check = if ready == secrets.len() {
        ok(CheckName::Objects, detail)
    } else {
        let action = "`kubectl strongroom status --not-ready` lists those that are not, with the reason";
        warning(CheckName::Objects, detail, action)
    };
    Ok(of_item(place, check))
}
