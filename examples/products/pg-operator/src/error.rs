//! Why a `Postgres` does not get on. None of it holds a value.

#[derive(Debug, thiserror::Error)]
pub(crate) enum OperatorError {
    #[error("{0}")]
    Http(#[from] kube::Error),
    #[error("strongroom refuses, {0}: {1}")]
    Refused(String, String),
    #[error("strongroom's answer cannot be read")]
    Unreadable,
    #[error("postgresql: {}", server_message(.0))]
    Server(#[from] tokio_postgres::Error),
    #[error("postgresql does not answer: {0}")]
    Unreachable(#[from] std::io::Error),
    #[error("role `{0}` {1}: choose another name")]
    Role(String, &'static str),
}

fn server_message(error: &tokio_postgres::Error) -> String {
    let message = error.as_db_error().map(|error| error.message().to_owned());
    message.unwrap_or_else(|| error.to_string())
}
