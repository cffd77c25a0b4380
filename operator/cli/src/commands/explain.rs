//! `explain`.

mod checks;
mod egress;
mod facts;
mod screen;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use strongroom_api::problem::Code;
use strongroom_api::v1::{
    AccessCheck, AccessCheckName, AccessCheckResult, AccessCheckState, ExplainAccessAnswer, ProblemDocument,
};

use self::checks::checks;
use self::facts::{Account, ClusterFacts};
use self::screen::{Verdict, text};
use crate::api_client::ApiClient;
use crate::arguments::ClusterArguments;
use crate::failure::Failure;
use crate::output::Output;

/// How `--as` begins where it names whom a question is about.
const ACCOUNT: &str = "serviceaccount/";
/// The shared gateway, as it is named.
const SHARED: &str = "shared";

/// Explains why a request is allowed or refused, and how to mend it
///
/// Looks at all that can stand in the way: permission, state of the secret, network, key, rate, product,
/// quota, credentials (docs/troubleshooting.md). The first check that fails comes first, with a command that
/// mends it. Objects of the cluster are looked at with your own rights. Exits with code 0 if every check
/// passes, with 1 if one fails, and with 2 if Strongroom could not be asked or something could not be seen.
/// Examples:
///
///   kubectl strongroom explain secret db-main --as serviceaccount/checkout
///
///   kubectl strongroom explain me PutSecretValue partner
#[derive(Debug, clap::Args)]
pub(crate) struct Arguments {
    /// `secret NAME`, or PRINCIPAL ACTION NAME. PRINCIPAL is a ServiceAccount as `namespace/name`, a user as
    /// the API server knows it, or `me`; ACTION is such as GetSecretValue. The principal of `secret NAME` is
    /// that of `--as serviceaccount/NAME`, or you
    #[arg(required = true, num_args = 1..=3, value_name = "WHAT")]
    what: Vec<String>,
    /// The action, where WHAT does not say it; default: GetSecretValue
    #[arg(long, value_name = "ACTION")]
    action: Option<String>,
    /// The stage of the version that would be read
    #[arg(long, value_name = "STAGE")]
    stage: Option<String>,
    /// The EncryptionKey under which CreateSecret would make the secret, or UpdateSecret would move it
    #[arg(long, value_name = "NAME")]
    encryption_key: Option<String>,
    /// The gateway that the principal would ask: `shared`, or the name of a dedicated one; default: shared
    #[arg(long, value_name = "GATEWAY")]
    via: Option<String>,
    /// What `--as serviceaccount/…` names.
    #[arg(skip)]
    account: Option<String>,
}

impl Arguments {
    /// Takes the ServiceAccount that `--as` names. Anybody else is impersonated, as with kubectl.
    pub(crate) fn take_account(&mut self, cluster: &mut ClusterArguments) {
        let named = cluster.impersonate.as_deref();
        if let Some(account) = named.and_then(|user| user.strip_prefix(ACCOUNT)) {
            self.account = Some(account.to_owned());
            cluster.impersonate = None;
        }
    }
}

/// What is asked of Strongroom.
#[derive(Debug, PartialEq, Eq)]
struct Question {
    /// None: about the person who asks.
    principal: Option<String>,
    action: Option<String>,
    secret: String,
}

impl Question {
    fn from_arguments(arguments: &Arguments, namespace: &str) -> Result<Self, Failure> {
        let unclear = |why: &str| Err(Failure::Input(why.to_owned()));
        let account = arguments.account.as_deref().map(|account| {
            if account.contains('/') {
                account.to_owned()
            } else {
                format!("{namespace}/{account}")
            }
        });
        let what: Vec<&str> = arguments.what.iter().map(String::as_str).collect();
        let (principal, action, secret) = match what.as_slice() {
            [secret] | ["secret", secret] => (account, arguments.action.clone(), secret),
            [_, _, _] if account.is_some() => {
                return unclear("name whom it is about once: `--as`, or the first of three words");
            }
            [_, _, _] if arguments.action.is_some() => {
                return unclear("name the action once: `--action`, or the second of three words");
            }
            [principal, action, secret] => {
                let principal = Some(*principal).filter(|principal| *principal != "me");
                (principal.map(str::to_owned), Some((*action).to_owned()), secret)
            }
            _ => return unclear("write `explain secret NAME`, or `explain PRINCIPAL ACTION NAME`"),
        };
        Ok(Self {
            principal,
            action,
            secret: (*secret).to_owned(),
        })
    }
}

pub(crate) async fn run(arguments: &Arguments, client: &ApiClient, out: &Output) -> Result<(), Failure> {
    let cannot = |error| Failure::CannotBeAsked(Box::new(error));
    let question = Question::from_arguments(arguments, client.namespace()).map_err(cannot)?;
    let fields = [
        ("action", &question.action),
        ("principal", &question.principal),
        ("stage", &arguments.stage),
        ("encryptionKey", &arguments.encryption_key),
        ("via", &arguments.via),
    ];
    let said = fields.into_iter();
    let said = said.filter_map(|(name, value)| Some((name, value.clone()?)));
    let query: Vec<(&str, String)> = said.collect();
    let mut answer: ExplainAccessAnswer = match client.read(&question.secret, "/access", &query).await {
        Ok(answer) => answer,
        Err(Failure::Refused(problem)) if problem.code == Code::SecretNotFound.as_str() => {
            absent(&question, client.namespace(), &problem)
        }
        Err(error) => return Err(cannot(error)),
    };
    if let Some(account) = Account::of_principal(&answer.principal) {
        let via = arguments.via.as_deref().unwrap_or(SHARED);
        let via = Some(via).filter(|via| *via != SHARED);
        let facts = ClusterFacts::gather(&client.cluster, account, via).await;
        answer.checks = merged(answer.checks, checks(&facts));
        if let Some(place) = &facts.place {
            for remedy in answer.checks.iter_mut().filter_map(|check| check.remedy.as_mut()) {
                *remedy = remedy.replace("INSTALLATION", &place.namespace);
            }
        }
    }
    let verdict = Verdict::of_answer(&answer);
    out.decision(
        &answer,
        (verdict.word(), verdict == Verdict::Allowed),
        &text(&answer),
    )?;
    outcome(&answer)
}

/// What is said of a secret that is not there, or that the person may not know of.
fn absent(question: &Question, namespace: &str, problem: &ProblemDocument) -> ExplainAccessAnswer {
    let check = AccessCheck::new(
        AccessCheckName::Secret,
        AccessCheckResult::Absent,
        problem.detail.as_str(),
    );
    ExplainAccessAnswer {
        allowed: false,
        principal: match &question.principal {
            None => "you".to_owned(),
            Some(principal) if principal.contains('/') => format!("serviceaccount {principal}"),
            Some(principal) => format!("user {principal}"),
        },
        action: match &question.action {
            None => Cow::Borrowed("secrets:GetSecretValue"),
            Some(action) => Cow::Owned(action.clone()),
        },
        explanation: format!("denied: {}", problem.detail),
        statements: Vec::new(),
        by_rbac: false,
        missing_policies: Vec::new(),
        product: None,
        secret: problem.detail.clone(),
        key: None,
        checks: vec![check.mended_with(&[("NAMESPACE", namespace)])],
    }
}

/// What Strongroom looked at, and what was seen in the cluster. Who was just seen at the gateway reaches it,
/// whatever the person may not see.
fn merged(asked: Vec<AccessCheck>, seen: Vec<AccessCheck>) -> Vec<AccessCheck> {
    let has = |result: AccessCheckResult| asked.iter().any(|check| check.result == result);
    let (reaches, proven) = (
        has(AccessCheckResult::Reachable),
        has(AccessCheckResult::Accepted),
    );
    let (accounts, seen): (Vec<AccessCheck>, Vec<AccessCheck>) = seen
        .into_iter()
        .partition(|check| check.check == AccessCheckName::Credentials);
    let unseen = |check: &AccessCheck| reaches && check.state == AccessCheckState::Unknown;
    let mut all: Vec<AccessCheck> = asked
        .into_iter()
        .filter(|check| accounts.is_empty() || check.result != AccessCheckResult::NotShown)
        .chain(seen.into_iter().filter(|check| !unseen(check)))
        .collect();
    if !proven {
        all.extend(accounts);
    }
    all.sort_by_key(|check| check.check);
    all
}

/// How the command ends.
fn outcome(answer: &ExplainAccessAnswer) -> Result<(), Failure> {
    let in_state = |state| {
        let checks = answer.checks.iter();
        checks.filter(|check| check.state == state).collect::<Vec<_>>()
    };
    let (failing, unknown) = (
        in_state(AccessCheckState::Failing),
        in_state(AccessCheckState::Unknown),
    );
    if let Some(first) = failing.first() {
        return Err(Failure::Unwell(format!(
            "{} of {} checks failed, first `{}`",
            failing.len(),
            answer.checks.len(),
            first.check.label()
        )));
    }
    if !answer.allowed {
        return Err(Failure::Unwell("it is denied".to_owned()));
    }
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Failure::Unchecked(format!(
        "nothing that could be seen stands in the way; {} of {} checks could not be made",
        unknown.len(),
        answer.checks.len()
    )))
}
