//! Errors of a request at a volume's socket: the message for the program, and the outcome that is counted.

use http::StatusCode;

/// Why there is no value. Names that a program sent are shown back to it and to nobody else.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum QueryError {
    /// Another method.
    #[error("only GET is supported here")]
    Method,
    /// It came through somebody who forwards for others.
    #[error("a request with X-Forwarded-For is refused: connect to the socket directly")]
    Forwarded,
    /// Another path.
    #[error("there is no such path: ask `/secretsmanager/get?secretId=…` or `/v1/…`")]
    Path,
    /// A parameter that means nothing.
    #[error("unknown parameter `{0}`; known are `secretId`, `versionId`, `versionStage` and `refreshNow`")]
    Parameter(String),
    /// A parameter without a meaning.
    #[error(
        "`refreshNow` must be `true` or `false`; it has no effect here, because the answer is always current"
    )]
    Refresh,
    /// Text that is none.
    #[error("the request is not UTF-8 text, or not URL-encoded")]
    Encoding,
    /// The query or the path names none.
    #[error("name the secret: `/secretsmanager/get?secretId=…` or `/v1/…`")]
    NoSecretId,
    /// A secret that the volume does not have.
    #[error("this volume has no secret `{0}`: add it to the volume's `secrets` or `set`")]
    NoSecret(String),
    /// A name of several.
    #[error("several secrets of this volume are called `{0}`: write the namespace, `/` and the name")]
    Ambiguous(String),
    /// A version that the volume does not have.
    #[error(
        "this volume has no version of secret `{0}` with this `versionId` or `versionStage`, only those in its attributes"
    )]
    NoVersion(String),
    /// No version was asked for, and none is `Current`.
    #[error(
        "this volume has several versions of secret `{0}`, and none of them is `Current`: give `versionStage` or `versionId`"
    )]
    WhichVersion(String),
    /// Bytes that the form of the answer cannot say.
    #[error(
        "key `{key}` of secret `{secret}` is not UTF-8 text, which an answer with several keys cannot contain: read its file"
    )]
    NotText {
        /// Its name in the store.
        secret: String,
        /// The key of its value.
        key: String,
    },
    /// Access ended, and the files are gone.
    #[error("access to a secret of this volume was revoked, and its files were removed")]
    Revoked,
    /// The plugin was replaced and has no values yet.
    #[error(
        "the node plugin was replaced and has no values yet: try again; the volume's files are still there"
    )]
    Waiting,
}

impl QueryError {
    /// The status of HTTP.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::Method => StatusCode::METHOD_NOT_ALLOWED,
            Self::Forwarded
            | Self::Parameter(_)
            | Self::Refresh
            | Self::Encoding
            | Self::NoSecretId
            | Self::Ambiguous(_)
            | Self::WhichVersion(_)
            | Self::NotText { .. } => StatusCode::BAD_REQUEST,
            Self::Path | Self::NoSecret(_) | Self::NoVersion(_) => StatusCode::NOT_FOUND,
            Self::Revoked => StatusCode::FORBIDDEN,
            Self::Waiting => StatusCode::SERVICE_UNAVAILABLE,
        }
    }

    /// The name of the error, as programs for AWS know it
    /// (<https://docs.aws.amazon.com/secretsmanager/latest/apireference/API_GetSecretValue.html>).
    pub(super) const fn kind(&self) -> &'static str {
        match self {
            Self::Method
            | Self::Forwarded
            | Self::Path
            | Self::Parameter(_)
            | Self::Refresh
            | Self::Encoding
            | Self::NoSecretId
            | Self::Ambiguous(_)
            | Self::WhichVersion(_) => "InvalidParameterException",
            Self::NoSecret(_) | Self::NoVersion(_) => "ResourceNotFoundException",
            Self::NotText { .. } => "InvalidRequestException",
            Self::Revoked => "AccessDeniedException",
            Self::Waiting => "InternalServiceError",
        }
    }

    /// A word for the metric.
    pub(super) const fn outcome(&self) -> &'static str {
        match self {
            Self::Forwarded => "forwarded",
            Self::Method
            | Self::Path
            | Self::Parameter(_)
            | Self::Refresh
            | Self::Encoding
            | Self::NoSecretId
            | Self::Ambiguous(_)
            | Self::WhichVersion(_)
            | Self::NotText { .. } => "invalid",
            Self::NoSecret(_) | Self::NoVersion(_) => "not_found",
            Self::Revoked => "revoked",
            Self::Waiting => "waiting",
        }
    }
}

/// A text of a program as a message may show it.
pub(super) fn printable(text: &str) -> String {
    text.chars().take(200).filter(|c| !c.is_control()).collect()
}
