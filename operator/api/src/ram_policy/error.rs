//! Why a policy of RAM is refused, and where.

use strongroom_model::{RamPrincipalError, visible};

use super::RAM_POLICY_BYTES;
use super::json::Position;

/// A policy of RAM is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("line {line}, column {column}, {path}: {reason}")]
pub struct RamPolicyError {
    /// Of the text, from 1.
    pub line: usize,
    /// The character of the line, from 1.
    pub column: usize,
    /// The value in the document, as in `$.Statement[0].Action[1]`.
    pub path: String,
    /// What is wrong, and what to do.
    pub reason: RamPolicyReason,
}

impl RamPolicyError {
    pub(super) fn new(at: Position, path: impl Into<String>, reason: RamPolicyReason) -> Self {
        Self {
            line: at.line,
            column: at.column,
            path: path.into(),
            reason,
        }
    }
}

/// Why a policy of RAM is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RamPolicyReason {
    /// It is too long.
    #[error("the policy has {0} bytes, and at most {most} are read", most = RAM_POLICY_BYTES)]
    TooLarge(usize),
    /// It is not JSON.
    #[error("it is not JSON: {0}")]
    Syntax(&'static str),
    /// Values stand in values in values.
    #[error("values are nested too deep")]
    TooDeep,
    /// An object has a name twice: readers of JSON disagree on what that means.
    #[error("`{0}` stands twice in this object; leave one of them")]
    DuplicateName(String),
    /// A value is of another type.
    #[error("it must be {0}")]
    Type(&'static str),
    /// Something that every policy has.
    #[error("`{0}` is missing")]
    Missing(&'static str),
    /// Nothing stands in a list.
    #[error("it is empty; write at least one")]
    Empty,
    /// A list is longer than a SecretPolicy takes.
    #[error("there are {count}, and a SecretPolicy takes {most}; split the policy")]
    TooMany {
        /// How many there are.
        count: usize,
        /// How many may be.
        most: usize,
    },
    /// A text is longer than a SecretPolicy takes.
    #[error("the text has {length} characters, and a SecretPolicy takes {most}")]
    TooLong {
        /// How many it has.
        length: usize,
        /// How many it may have.
        most: usize,
    },
    /// A name that policies do not have.
    #[error("`{0}` is not a field of a policy; names are case-sensitive")]
    UnknownField(String),
    /// Statements about everything else: who and what that is changes behind the policy's back.
    #[error("`{0}` cannot be imported: list what the statement is about instead")]
    Negated(&'static str),
    /// Another language of policies.
    #[error("version `{0}` is not known; write \"1\"")]
    Version(String),
    /// Neither of both.
    #[error("`{0}` is not an effect; write \"Allow\" or \"Deny\"")]
    Effect(String),
    /// Whoever there is.
    #[error(
        "everybody as a principal cannot be imported: name users and roles, as in `acs:ram::<account>:role/<name>`"
    )]
    Everybody,
    /// Principals of another kind.
    #[error("principals `{0}` cannot be imported; a policy here names principals of `RAM`")]
    PrincipalKind(String),
    /// Not a principal.
    #[error(transparent)]
    Principal(RamPrincipalError),
    /// Who is meant is said twice: by the target of the import, and by the document.
    #[error("a policy for ServiceAccounts has no principals; import it for secrets")]
    PrincipalOfIdentities,
    /// An action that there is not here.
    #[error("`{0}` is not an action that there is here; take it out")]
    Action(String),
    /// Something that can be no resource here.
    #[error("`{0}` cannot be imported; write `*`, or a secret or key as in `acs:kms:*:*:secret/db-*`")]
    Resource(String),
    /// Nobody said which namespace it is.
    #[error(
        "account `{account}` of `{resource}` is no namespace that is known here; add `--account {account}=NAMESPACE`"
    )]
    Account {
        /// As it is written.
        account: String,
        /// Where it stands.
        resource: String,
    },
    /// A secret policy that is about something else than what it is attached to.
    #[error("`{0}` is not among the secrets that the policy is imported for; write `*` or one of them")]
    OtherSecret(String),
    /// A statement about some of the secrets that the policy is attached to: it would count for all.
    #[error(
        "the statement is not about `{0}`, which the policy is imported for as well; import it for each secret by itself"
    )]
    PartOfSecrets(String),
    /// A condition that cannot be said here.
    #[error(
        "condition `{operator}` on `{key}` cannot be imported, and without it the statement would mean something else"
    )]
    Condition {
        /// How it compares.
        operator: String,
        /// The key whose value is compared, such as `acs:SourceIp`.
        key: String,
    },
    /// Two conditions that would be one.
    #[error("it says the same as another condition of the statement; leave one of them")]
    RepeatedCondition,
    /// Not an address.
    #[error("`{0}` is not an address range; write it like `10.0.0.0/8`")]
    Range(String),
    /// Not a time.
    #[error("`{0}` is not a time in whole seconds; write it like `2027-01-31T08:00:00+08:00`")]
    Time(String),
    /// Nothing is between them.
    #[error("the statement would begin when it ends or later")]
    Interval,
}

/// A text of the document as an error repeats it.
pub(super) fn quoted(text: &str) -> String {
    const SHOWN: usize = 120;
    let shown: String = text.chars().take(SHOWN).collect();
    let more = if text.chars().nth(SHOWN).is_some() {
        "…"
    } else {
        ""
    };
    format!("{}{more}", visible(&shown))
}
