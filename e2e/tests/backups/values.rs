//! What the chart makes of the values of backups.

use crate::support::chart::render;

#[test]
fn backups_come_with_a_schedule_and_a_destination() {
    let plain = render(&[]).unwrap();
    for part in [
        "--backup",
        "STRONGROOM_BACKUP",
        "strongroom-drill",
        "StrongroomBackup",
    ] {
        assert!(!plain.contains(part), "{part}");
    }
    let with = render(&[
        "backup.schedule=0 3 * * *",
        "backup.destination=s3+https://s3.example.com:443/b?ca=/etc/strongroom/backup/ca.crt&credentials=/etc/strongroom/backup",
        "backup.credentialsSecretName=s3",
        "backup.drill.schedule=0 5 * * SUN",
        "backup.keep.age=90d",
        "metrics.prometheusRule.enabled=true",
    ])
    .unwrap();
    for part in [
        "- \"--backup-schedule=0 3 * * *\"",
        "- --backup-keep-count=30",
        "- --backup-keep-age=90d",
        "- --backup-reads-interval=5m",
        "- \"--drill-schedule=0 5 * * SUN\"",
        "- --backup-credentials-secret=s3",
        "value: \"s3+https://s3.example.com:443/b?ca=/etc/strongroom/backup/ca.crt&credentials=/etc/strongroom/backup\"",
        "{name: backup-credentials, secret: {secretName: s3}}",
        "{name: drill, emptyDir: {}}",
        "alert: StrongroomBackupOverdue",
        "alert: StrongroomBackupWithoutRecoveryKey",
        "alert: StrongroomReadsNotCopied",
        "alert: StrongroomDrillFailed",
    ] {
        assert!(with.contains(part), "{part}");
    }
    let folder = render(&[
        "backup.schedule=0 3 * * *",
        "backup.destination=folder:/var/lib/strongroom-backups",
        "backup.claimName=backups",
    ])
    .unwrap();
    assert!(folder.contains("{name: backups, persistentVolumeClaim: {claimName: backups}}"));
    for (wrong, told) in [
        ("backup.schedule=0 3 * * *", "set backup.destination as well"),
        (
            "backup.drill.schedule=0 3 * * *",
            "a drill restores a scheduled backup",
        ),
        ("backup.destination=s3://bucket", "does not match pattern"),
        ("backup.keep.age=a while", "does not match pattern"),
        ("backup.readsInterval=16m", "does not match pattern"),
    ] {
        let said = render(&[wrong]).unwrap_err();
        assert!(said.contains(told), "{wrong}: {said}");
    }
}
