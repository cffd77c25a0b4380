//! A record as a row of a table.

use super::{AuditRecord, Decision};
use crate::visible;

/// The names of the columns.
pub const HEADER: &str = "TIME                      DECISION  ACTION                    SECRET                            PRINCIPAL                         NOTE";

/// One record; the note is open-ended.
#[must_use]
pub fn row(line: &AuditRecord) -> String {
    let secret = match (&line.namespace, &line.secret) {
        (Some(namespace), Some(secret)) => format!("{namespace}/{secret}"),
        (Some(namespace), None) => namespace.clone(),
        (None, Some(secret)) => secret.clone(),
        (None, None) => String::new(),
    };
    let decision = match line.decision {
        Decision::Done => "done",
        Decision::Refused => "refused",
    };
    let mut note: Vec<String> = Vec::new();
    if line.count != 1 {
        note.push(format!("{} requests", line.count));
    }
    note.extend(line.code.clone());
    note.extend(line.version.clone());
    note.extend(line.source.map(|source| format!("from {source}")));
    note.extend(line.extension_api.then(|| "over the extension API".to_owned()));
    note.extend(line.statements.iter().map(|statement| format!("by {statement}")));
    note.extend(
        line.claimed
            .as_ref()
            .map(|claimed| format!("which says: for {claimed}")),
    );
    note.extend(line.requester.as_ref().map(|requester| match &requester.user {
        Some(user) if requester.attested => format!("for {user}"),
        _ => "unattested".to_owned(),
    }));
    if !line.detail.is_empty() {
        note.push(line.detail.clone());
    }
    // Names and details come from others.
    let (action, secret, principal) = (visible(&line.action), visible(&secret), visible(&line.principal));
    let note = note.join(", ");
    format!(
        "{:<24}  {decision:<8}  {action:<24}  {secret:<32}  {principal:<32}  {}",
        line.time.strftime("%Y-%m-%dT%H:%M:%S%.3fZ").to_string(),
        visible(&note)
    )
}
