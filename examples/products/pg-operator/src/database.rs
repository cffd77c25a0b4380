//! Roles and logins in the server.
//!
//! Every change is one transaction, which first takes a lock of the role's own and then looks at what is
//! there. So nothing is done twice where an answer was lost: the lock waits for what is still under way in
//! the server, and the look finds what was committed.

use std::time::Duration;

use strongroom_api::v1::ValueAnswer;
use tokio_postgres::{Client, Config, NoTls, Transaction};
use zeroize::Zeroizing;

use crate::error::OperatorError;

/// Comment of what the operator made; that of a login goes on with the version of the secret.
const MARK: &str = "pg-operator";
const PASSWORD_FILE: &str = "/superuser/password";
/// The logins of a role, but for those of some versions.
const OTHERS: &str = "SELECT m.rolname FROM pg_auth_members JOIN pg_roles m ON m.oid = member \
    JOIN pg_roles r ON r.oid = roleid, shobj_description(m.oid, 'pg_authid') AS mark \
    WHERE r.rolname = $1 AND mark LIKE 'pg-operator %' AND mark <> ALL ($2)";

/// Makes the login of a version, and its role, where they are not there; then drops the role's logins of all
/// versions but this and those to keep.
pub(crate) async fn ensure(role: &str, value: &ValueAnswer, keep: &[&String]) -> Result<(), OperatorError> {
    let key = |key: &'static str| value.data.get(key).ok_or(OperatorError::Unreadable);
    let login = String::from_utf8_lossy(key("username")?.expose());
    let (quoted, name) = (identifier(role), identifier(&login));
    let mut client = connect().await?;
    let change = locked(&mut client, role).await?;
    if is_missing(&change, role, MARK).await? {
        let make = format!("CREATE ROLE {quoted} NOLOGIN; COMMENT ON ROLE {quoted} IS '{MARK}'");
        change.batch_execute(&make).await?;
    }
    let mark = format!("{MARK} {}", value.version_id);
    if is_missing(&change, &login, &mark).await? {
        // The server and its log get a verifier, never the password. What the login makes is its role's.
        let verifier = postgres_protocol::password::scram_sha_256(key("password")?.expose());
        let make = format!(
            "CREATE ROLE {name} LOGIN PASSWORD '{verifier}' IN ROLE {quoted}; \
                 ALTER ROLE {name} SET role = {quoted}; COMMENT ON ROLE {name} IS '{mark}'"
        );
        change.batch_execute(&make).await?;
    }
    change.commit().await?;

    let change = locked(&mut client, role).await?;
    let keep = keep.iter().map(|version| format!("{MARK} {version}"));
    let keep: Vec<String> = keep.chain([mark]).collect();
    for other in change.query(OTHERS, &[&role, &keep]).await? {
        let name = identifier(other.try_get(0)?);
        let drop = format!("REASSIGN OWNED BY {name} TO {quoted}; DROP OWNED BY {name}; DROP ROLE {name}");
        change.batch_execute(&drop).await?;
    }
    Ok(change.commit().await?)
}

/// As the superuser. Without TLS, which is for an example inside of one cluster.
async fn connect() -> Result<Client, OperatorError> {
    let password = Zeroizing::new(std::fs::read(PASSWORD_FILE)?);
    let mut config = Config::new();
    config.host("postgres").user("postgres").dbname("postgres");
    config.password(password).application_name(MARK);
    config.connect_timeout(Duration::from_secs(5));
    config.options("-c lock_timeout=10s -c statement_timeout=30s");
    let (client, connection) = config.connect(NoTls).await?;
    // How it ends is told to whoever waits for an answer.
    tokio::spawn(connection);
    Ok(client)
}

/// A transaction that has the lock of a role, until it ends.
async fn locked<'a>(client: &'a mut Client, role: &str) -> Result<Transaction<'a>, OperatorError> {
    let change = client.transaction().await?;
    let lock = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))";
    change.execute(lock, &[&role]).await?;
    Ok(change)
}

/// Whether a role is not there; one that is there has to have this comment.
async fn is_missing(change: &Transaction<'_>, name: &str, mark: &str) -> Result<bool, OperatorError> {
    let look = "SELECT shobj_description(oid, 'pg_authid') FROM pg_roles WHERE rolname = $1";
    let Some(found) = change.query_opt(look, &[&name]).await? else {
        return Ok(true);
    };
    match found.try_get::<_, Option<String>>(0)? {
        Some(comment) if comment == mark => Ok(false),
        _ => Err(OperatorError::Role(name.to_owned(), "is not ours")),
    }
}

fn identifier(name: &str) -> String {
    format!("\"{}\"", name.replace('"', "\"\""))
}
