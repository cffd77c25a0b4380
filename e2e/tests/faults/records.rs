//! What is audited, and whether the chains prove themselves.

use std::collections::BTreeSet;

use http::Method;
use jiff::Timestamp;
use strongroom_api::v1::ValueAnswer;
use strongroom_e2e::Strongroom;

use crate::load::{ClientResults, Server, ask};
use crate::support::Fixture;
use crate::support::answers::{bytes, typed, verified};

/// What of the account's doings is audited.
#[derive(Debug, Default)]
pub(crate) struct AuditedRequests {
    /// Secret and version.
    puts: BTreeSet<(String, String)>,
    /// Ids of requests that were answered with a value.
    reads: BTreeSet<String>,
    /// Times of all of them, in the order of the list.
    pub(crate) times: Vec<Timestamp>,
}

/// All that `app` did, by the list of a process that runs or has ended.
pub(crate) fn audited_requests(f: &Fixture) -> AuditedRequests {
    let mut recorded = AuditedRequests::default();
    for record in f.records(&["--outcome=success", "--principal=shop/app"]) {
        recorded.times.push(record.time);
        match record.action.as_str() {
            "PutSecretValue" | "CreateSecret" => {
                let put = (
                    record.secret.unwrap_or_default(),
                    record.version.unwrap_or_default(),
                );
                recorded.puts.insert(put);
            }
            "GetSecretValue" => {
                recorded.reads.insert(record.request.unwrap_or_default());
            }
            _ => {}
        }
    }
    recorded
}

impl AuditedRequests {
    /// Everything that was answered is audited, and what is current is the last answered version, or the one
    /// that was on its way.
    pub(crate) fn holds(&self, runtime: &tokio::runtime::Runtime, server: &Server, answered: &ClientResults) {
        assert_eq!(
            self.unrecorded(answered),
            0,
            "reads were answered and are not on record"
        );
        self.holds_writes(runtime, server, answered);
    }

    /// How many reads were answered and are not audited: of each reader the last ones, if any.
    pub(crate) fn unrecorded(&self, answered: &ClientResults) -> usize {
        let of_one = |reads: &Vec<String>| {
            let on_record = |request: &&String| self.reads.contains(*request);
            let recorded = reads.iter().take_while(on_record).count();
            let later = reads.iter().skip(recorded).find(on_record);
            assert_eq!(later, None, "an earlier read is missing");
            reads.len() - recorded
        };
        answered.reads.iter().map(of_one).sum()
    }

    /// Every write that was answered is audited, and what is current is the last of them, or the one that was
    /// on its way.
    pub(crate) fn holds_writes(
        &self,
        runtime: &tokio::runtime::Runtime,
        server: &Server,
        answered: &ClientResults,
    ) {
        for (number, count) in answered.written.iter().enumerate() {
            for version in 0..*count {
                let put = (format!("s{number}"), format!("w{version}"));
                assert!(
                    self.puts.contains(&put),
                    "{put:?} was answered and is not on record"
                );
            }
            let path = format!("s{number}/value");
            let answer = ask(runtime, server, Method::GET, &path, None);
            let id = typed::<ValueAnswer>(&answer.body).version_id;
            assert!(
                [count - 1, *count]
                    .map(|version| format!("w{version}"))
                    .contains(&id),
                "{id} of {count}"
            );
            assert_eq!(bytes(&answer.body)["token"], id.as_bytes());
        }
    }
}

/// Stops the process, and proves both chains by the public key that it told when it opened the store; the
/// report.
pub(crate) fn chains_are_sound(f: &Fixture, strongroom: &mut Strongroom) -> String {
    assert!(strongroom.stop().unwrap().success(), "{}", strongroom.log());
    let log = strongroom.log();
    let told = log.split("public_key").nth(1).unwrap();
    let key: String = told
        .chars()
        // A key may begin with any letter of base64.
        .skip_while(|letter| "=\": ".contains(*letter))
        .take_while(|letter| letter.is_ascii_alphanumeric() || "+/=".contains(*letter))
        .collect();
    verified(&key, &f.data().join("data/store"))
}
