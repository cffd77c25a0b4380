//! How the installation is, on one screen.

use strongroom_api::installation_status::{CheckName, CheckState, InstallationStatus};

use crate::KubectlUsers;
use crate::support::eventually;

/// The administrator sees on one screen that all is well; whoever may see less is told so.
pub(super) fn one_screen(people: &KubectlUsers<'_>) {
    let status = eventually("the process to report of itself", || {
        let status: InstallationStatus = people.typed("admin", &["status"]);
        status.process.is_some().then_some(status)
    });
    assert!(
        status
            .api
            .starts_with("people.strongroom.dev answers at https://"),
        "{status:?}"
    );
    assert!(
        status.healthy && status.managed_secrets.unwrap() >= 1,
        "{status:?}"
    );
    let states = |status: &InstallationStatus, name: CheckName| {
        let checks = status.checks.iter().filter(|check| check.check == name);
        checks.map(|check| check.state).collect::<Vec<_>>()
    };
    for name in [
        CheckName::Api,
        CheckName::Store,
        CheckName::Lease,
        CheckName::AuditSink,
    ] {
        assert_eq!(states(&status, name), [CheckState::Ok], "{status:?}");
    }
    // Of the gateway, the webhook and the extension API.
    assert_eq!(
        states(&status, CheckName::Certificate),
        [CheckState::Ok; 3],
        "{status:?}"
    );
    assert_eq!(
        states(&status, CheckName::Backup),
        [CheckState::Warning],
        "{status:?}"
    );
    let screen = people.with("admin", &["status"], "").well();
    assert!(
        screen.starts_with("CHECK ") && screen.contains("nobody takes backups"),
        "{screen}"
    );
    let status: InstallationStatus = people.typed("jane", &["status"]);
    assert_eq!(
        states(&status, CheckName::Lease),
        [CheckState::Unknown],
        "{status:?}"
    );
    assert!(
        status.checks.iter().any(|check| check
            .detail
            .starts_with("not visible to you: this takes `get` of ")),
        "{status:?}"
    );
}
