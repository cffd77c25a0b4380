//! `strongroom reach`: checks whether the API answers; `helm test` calls it.

use std::path::PathBuf;
use std::time::Duration;

use axum::body::Body;
use axum::http::Request;
use axum::http::uri::Authority;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use strongroom_api::transport_error_cause;
use strongroom_process::http2_client;

use super::error::CommandError;
use crate::trust_anchors::roots_from_pem;

/// How long an answer may take.
const RESPONSE_TIMEOUT: Duration = Duration::from_secs(5);
/// How long until it is tried again.
const RETRY_INTERVAL: Duration = Duration::from_secs(1);

/// Checks whether the API answers at an address
#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// Host and port of the API
    #[arg(value_name = "HOST:PORT")]
    address: Authority,
    /// The CA certificates for its certificate, as in `ca.crt` of ConfigMap `strongroom-ca`
    #[arg(long, value_name = "PATH")]
    ca: PathBuf,
    /// The name in its certificate; default: the host of the address
    #[arg(long, value_name = "NAME")]
    name: Option<String>,
    /// How many seconds to keep trying
    #[arg(long, value_name = "SECONDS", default_value_t = 0)]
    wait: u64,
}

pub(super) async fn run(
    arguments: Arguments,
    out: &mut (impl std::io::Write + Send),
) -> Result<(), CommandError> {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(arguments.wait);
    loop {
        match once(&arguments).await {
            Ok(()) => {
                writeln!(out, "the API answers at https://{}", arguments.address)?;
                return Ok(());
            }
            Err(error) if tokio::time::Instant::now() >= deadline => return Err(error),
            Err(_) => tokio::time::sleep(RETRY_INTERVAL).await,
        }
    }
}

async fn once(arguments: &Arguments) -> Result<(), CommandError> {
    let unreachable = |why: &str| CommandError::Unreachable {
        address: arguments.address.to_string(),
        why: why.to_owned(),
    };
    let pem = tokio::fs::read(&arguments.ca)
        .await
        .map_err(|source| CommandError::Read {
            path: arguments.ca.display().to_string(),
            source,
        })?;
    let roots =
        roots_from_pem(&pem).map_err(|_| unreachable("the file of `--ca` contains no CA certificate"))?;
    let host = arguments.name.as_deref().unwrap_or(arguments.address.host());
    let name = ServerName::try_from(host.to_owned())
        .map_err(|_| unreachable("its name is not a valid server name"))?;
    let config = ClientConfig::builder()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let client = http2_client(config, name, RESPONSE_TIMEOUT);
    let request = Request::get(format!("https://{}/healthz", arguments.address))
        .body(Body::empty())
        .map_err(|_| unreachable("its address is invalid"))?;
    match tokio::time::timeout(RESPONSE_TIMEOUT, client.request(request)).await {
        Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
        Ok(Ok(_)) => Err(unreachable("it answers with an error")),
        Ok(Err(error)) => Err(unreachable(transport_error_cause(&error))),
        Err(_) => Err(unreachable("no answer in time")),
    }
}
