//! GetSecretHistory: `GET /v1/namespaces/{namespace}/secrets/{name}/history`: who changed what of a secret,
//! and when, the oldest change first, page by page. For whoever may describe the secret.
//!
//! It is what the mutation chain says of this secret's id: a secret that had the name before is another one.
//! Reads and refusals are in the other chain, which is for auditors. Must not tell a value, a statement of a
//! policy, or more of who asked than their name.

use std::time::{Duration, Instant};

use strongroom_api::v1::{
    GetSecretHistoryQuery, HistoryDecision, HistoryPage, HistoryRecord, HistoryRequester,
};
use strongroom_model::id::SecretId;
use strongroom_rules::policy::{Action, Identity};
use strongroom_store::audit::{Actor, AuditOutcome, Entry, Requester};
use strongroom_store::vault::{Store, StoreError};

use super::metadata;
use super::shape::time;
use crate::gateway::operation::Input;
use crate::gateway::problem::{Code, Problem, invalid};
use crate::gateway::request::{OperationContext, SecretPath};

/// Records a page where nothing is said.
const DEFAULT_PAGE_SIZE: usize = 50;
/// Most records of a page.
const MAX_PAGE_SIZE: usize = 100;
/// Records of the chain that are read at once.
const SCAN_BATCH: usize = 1_000;
/// How many records one request reads: a secret with few changes in a long chain gets several short pages
/// rather than one slow one.
const SCAN_BUDGET: ScanBudget = ScanBudget {
    records: 10_000,
    time: Duration::from_millis(100),
};
/// Replaces the names of ServiceAccounts for callers who know of the secret by RBAC alone.
const HIDDEN_ACCOUNT: &str = "a ServiceAccount of another namespace";

/// How much of the chain is looked at, at least one batch.
#[derive(Clone, Copy, Debug)]
struct ScanBudget {
    /// Records, of whatever secret.
    records: usize,
    /// How long.
    time: Duration,
}

/// Which page is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct PageRequest {
    /// The last record of the chain that was looked at; 0: none.
    after: u64,
    limit: usize,
}

impl PageRequest {
    fn from_query(query: &GetSecretHistoryQuery) -> Result<Self, Problem> {
        let limit = query.limit.map_or(DEFAULT_PAGE_SIZE, usize::from);
        if !(1..=MAX_PAGE_SIZE).contains(&limit) {
            return Err(invalid(format!("`limit` is 1 to {MAX_PAGE_SIZE}")));
        }
        let after = match &query.after {
            None => 0,
            Some(text) => text
                .parse::<u64>()
                .map_err(|_| invalid("`after` is the `next` of a page"))?,
        };
        Ok(Self { after, limit })
    }
}

pub(super) async fn run(
    context: OperationContext,
    input: Input<SecretPath, GetSecretHistoryQuery>,
) -> Result<HistoryPage, Problem> {
    let OperationContext { gateway, request, .. } = context;
    let Input { path, query, .. } = input;
    let page = PageRequest::from_query(&query)?;
    let turn = request.turn();
    let scans = gateway.scans.clone();
    let work = move || {
        let action = (Action::DescribeSecret, "history");
        metadata::answer(&gateway, &request, &path, action, |authorised| {
            // As consumers and statements of other namespaces are not shown to somebody who only has RBAC.
            let only = authorised.decision().rbac.then_some(path.namespace().name());
            history(&gateway.store, authorised.secret().id, page, only)
        })?
    };
    let answer = scans.run(&turn, work).await;
    answer.map_err(|error| Problem::new(Code::StoreUnavailable, error.to_string()).retry_after(1))?
}

fn history(
    store: &Store,
    secret: SecretId,
    page: PageRequest,
    only: Option<&str>,
) -> Result<HistoryPage, Problem> {
    let read = |after: u64, limit: usize| store.mutations_after(after, limit);
    let found = scan(read, secret, page, SCAN_BUDGET)?;
    Ok(HistoryPage {
        records: found
            .entries
            .iter()
            .map(|(sequence, entry)| shown(*sequence, entry, only))
            .collect(),
        next: found.next.map(|next| next.to_string()),
    })
}

/// What was found of a secret.
#[derive(Debug, PartialEq, Eq)]
struct ScanResult {
    entries: Vec<(u64, Entry)>,
    /// The last record that was looked at; none at the end of the chain.
    next: Option<u64>,
}

/// Reads the chain on until the page is full and there is more of the secret, the chain ends, or the budget
/// is used up.
fn scan(
    mut read: impl FnMut(u64, usize) -> Result<Vec<(u64, Entry)>, StoreError>,
    secret: SecretId,
    page: PageRequest,
    budget: ScanBudget,
) -> Result<ScanResult, StoreError> {
    let began = Instant::now();
    let (mut entries, mut last, mut examined) = (Vec::new(), page.after, 0);
    loop {
        let batch = read(last, SCAN_BATCH)?;
        let ends = batch.len() < SCAN_BATCH;
        examined += batch.len();
        for (sequence, entry) in batch {
            if entry.secret_id == Some(secret) {
                if entries.len() == page.limit {
                    let next = Some(last);
                    return Ok(ScanResult { entries, next });
                }
                entries.push((sequence, entry));
            }
            last = sequence;
        }
        if ends {
            return Ok(ScanResult { entries, next: None });
        }
        if examined >= budget.records || began.elapsed() >= budget.time {
            let next = Some(last);
            return Ok(ScanResult { entries, next });
        }
    }
}

/// A record as it is told; `only`: ServiceAccounts of this namespace alone are named.
fn shown(sequence: u64, entry: &Entry, only: Option<&str>) -> HistoryRecord {
    let (decision, code) = match &entry.outcome {
        AuditOutcome::Done => (HistoryDecision::Done, None),
        AuditOutcome::Refused(code) => (HistoryDecision::Refused, Some(code.clone())),
    };
    let is_hidden = |home: Option<&str>| home.is_some_and(|home| only.is_some_and(|only| only != home));
    let requester = |requester: &Requester| match requester {
        Requester::Unattested => HistoryRequester {
            attested: false,
            user: None,
        },
        Requester::Attested(author) => HistoryRequester {
            attested: true,
            user: Some(if is_hidden(Identity::from_username(&author.user).namespace()) {
                HIDDEN_ACCOUNT.to_owned()
            } else {
                author.user.clone()
            }),
        },
    };
    HistoryRecord {
        sequence,
        time: time(entry.time),
        principal: if is_hidden(home(&entry.actor)) {
            HIDDEN_ACCOUNT.to_owned()
        } else {
            entry.actor.to_string()
        },
        action: entry.action.name().to_owned(),
        decision,
        code,
        version: entry.version.as_ref().map(ToString::to_string),
        stage: entry.stage.as_ref().map(ToString::to_string),
        requester: entry.requester.as_ref().map(requester),
        detail: entry.detail.clone(),
    }
}

/// The namespace of the ServiceAccount that acted, if one did: the text is that of an [`Identity`].
fn home(actor: &Actor) -> Option<&str> {
    match actor {
        Actor::Principal(text) => {
            let (namespace, _) = text.strip_prefix("serviceaccount ")?.split_once('/')?;
            Some(namespace)
        }
        Actor::Controller(_) | Actor::Admin(_) | Actor::System => None,
    }
}

#[cfg(test)]
mod tests {
    use strongroom_store::audit::{self, Author};

    use super::*;

    const SECRET: SecretId = SecretId::from_bytes([1; 16]);
    const PLENTY: ScanBudget = ScanBudget {
        records: usize::MAX,
        time: Duration::from_secs(3_600),
    };

    /// A chain of so many records; those with these numbers are of the secret, the others of another one.
    fn chain(length: u64, own: &[u64]) -> Vec<(u64, Entry)> {
        let of = |sequence: u64| {
            let at = strongroom_model::time::Timestamp::from_millis(0);
            let mut entry = Entry::new(at, Actor::System, audit::Action::PutSecretValue);
            let other = SecretId::from_bytes([2; 16]);
            entry.secret_id = Some(if own.contains(&sequence) { SECRET } else { other });
            (sequence, entry)
        };
        (1..=length).map(of).collect()
    }

    /// The numbers on one page, and where to go on.
    fn scanned(
        chain: &[(u64, Entry)],
        after: u64,
        limit: usize,
        budget: ScanBudget,
    ) -> (Vec<u64>, Option<u64>) {
        let read = |after: u64, limit: usize| {
            let rest = chain.iter().filter(|(sequence, _)| *sequence > after);
            Ok(rest.take(limit).cloned().collect())
        };
        let found = scan(read, SECRET, PageRequest { after, limit }, budget).unwrap();
        let numbers = found.entries.iter().map(|(sequence, _)| *sequence);
        (numbers.collect(), found.next)
    }

    #[test]
    fn a_page_goes_on_where_the_one_before_ended_and_the_last_one_says_so() {
        let chain = chain(2_500, &[3, 4, 1_700, 2_499]);
        assert_eq!(scanned(&chain, 0, 2, PLENTY), (vec![3, 4], Some(1_699)));
        assert_eq!(scanned(&chain, 1_699, 2, PLENTY), (vec![1_700, 2_499], None));
        assert_eq!(
            scanned(&chain, 0, 4, PLENTY),
            (vec![3, 4, 1_700, 2_499], None),
            "full, and the last one"
        );
        assert_eq!(scanned(&chain, 2_500, 2, PLENTY), (vec![], None));
        assert_eq!(scanned(&chain, u64::MAX, 2, PLENTY), (vec![], None));
        assert_eq!(scanned(&[], 0, 2, PLENTY), (vec![], None));
    }

    #[test]
    fn one_request_looks_at_so_many_records_and_for_so_long() {
        let chain = chain(2_500, &[1, 1_500]);
        let few = ScanBudget {
            records: SCAN_BATCH,
            ..PLENTY
        };
        let short = ScanBudget {
            time: Duration::ZERO,
            ..PLENTY
        };
        for budget in [few, short] {
            assert_eq!(scanned(&chain, 0, 50, budget), (vec![1], Some(1_000)));
            assert_eq!(scanned(&chain, 1_000, 50, budget), (vec![1_500], Some(2_000)));
            assert_eq!(scanned(&chain, 2_000, 50, budget), (vec![], None));
        }
    }

    #[test]
    fn queries_are_read_or_refused() {
        let page = |limit: Option<u16>, after: Option<&str>| {
            let after = after.map(str::to_owned);
            PageRequest::from_query(&GetSecretHistoryQuery { limit, after }).ok()
        };
        assert_eq!(page(None, None), Some(PageRequest { after: 0, limit: 50 }));
        assert_eq!(
            page(Some(100), Some("7")),
            Some(PageRequest { after: 7, limit: 100 })
        );
        for (limit, after) in [
            (Some(0), None),
            (Some(101), None),
            (None, Some("")),
            (None, Some("1.2")),
        ] {
            assert_eq!(page(limit, after), None, "{limit:?} {after:?}");
        }
    }

    #[test]
    fn only_whoever_a_policy_lets_know_is_told_accounts_of_other_namespaces() {
        let (_, mut entry) = chain(1, &[1]).remove(0);
        entry.actor = Actor::Principal("serviceaccount mail/app".to_owned());
        entry.requester = Some(Requester::Attested(Author {
            user: "system:serviceaccount:argocd:controller".to_owned(),
            groups: vec!["system:serviceaccounts:argocd".to_owned()],
            uid: "uid-argocd".to_owned(),
        }));
        let told = |entry: &Entry, only: Option<&str>| {
            let record = shown(1, entry, only);
            (record.principal, record.requester.unwrap().user.unwrap())
        };
        let (who, asked) = told(&entry, None);
        assert_eq!(who, "serviceaccount mail/app");
        assert_eq!(asked, "system:serviceaccount:argocd:controller");
        let text = serde_json::to_string(&shown(1, &entry, None)).unwrap();
        assert!(!text.contains("groups") && !text.contains("uid-argocd"), "{text}");
        let hidden = (HIDDEN_ACCOUNT.to_owned(), HIDDEN_ACCOUNT.to_owned());
        assert_eq!(told(&entry, Some("shop")), hidden);
        // Its own namespace's, and people, are named.
        entry.actor = Actor::Principal("serviceaccount shop/app".to_owned());
        entry.requester = Some(Requester::Attested(Author {
            user: "jane".to_owned(),
            ..Author::default()
        }));
        let named = ("serviceaccount shop/app".to_owned(), "jane".to_owned());
        assert_eq!(told(&entry, Some("shop")), named);
    }
}
