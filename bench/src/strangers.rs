//! What strangers make the gateway hold: as many attempts of each kind as there are connections for, from
//! many addresses, and the memory meanwhile.
//!
//! Each attempt stays for as long as it is let. Client and server share the machine.

use std::path::Path;
use std::time::Duration;

use strongroom_e2e::Cluster;
use strongroom_e2e::attacks::{Stranger, Target, strangers};

use crate::cluster::{Bench, connect, on_cluster};
use crate::https::{addresses, authority};
use crate::read::serve;
use crate::row::Row;
use crate::{Outcome, memory};

/// Attempts of each kind.
const ATTEMPTS: usize = 16_384;
/// Addresses that they come from.
const ADDRESSES: usize = 64;
/// How long the memory is looked at once all attempts were made.
const STAY: Duration = Duration::from_secs(3);

pub(crate) fn measure(dir: &Path) -> Outcome<Vec<Row>> {
    on_cluster(dir, rows)
}

async fn rows(cluster: &Cluster, data: &Path) -> Outcome<Vec<Row>> {
    let client = connect(cluster).await?;
    let bench = Bench { client };
    bench.prepare(cluster).await?;
    let (mut process, port) = serve(cluster, data, &["--node-account=node"])?;
    // The authority is published where there is something of ours.
    bench.apply("bench", 1, false).await?;
    bench.all_ready(1).await?;
    let target = target(&bench, port).await?;
    let idle = memory::at_rest(process.pid()).await?;
    let mut peaks = Vec::new();
    let from = addresses(ADDRESSES);
    for kind in Stranger::ALL {
        let attempts = async {
            let mut held = strangers(&target, kind, ATTEMPTS, &from).await;
            tokio::time::sleep(STAY).await;
            held.shutdown().await;
            Ok(())
        };
        let ((), samples) = memory::during(process.pid(), attempts).await?;
        peaks.push(samples.into_iter().fold(0.0, f64::max));
        // What was tried is over before something else is.
        tokio::time::sleep(STAY).await;
    }
    process.stop()?;
    Ok(vec![
        Row::from_samples("gateway.strangers.rss_mb", "MB", &peaks).against("the same process before", &idle),
    ])
}

/// The API at a port, once its authority is published.
pub(crate) async fn target(bench: &Bench, port: u16) -> Outcome<Target> {
    loop {
        match authority(bench).await {
            Ok(authority) => return Ok(Target::new(port, &authority)?),
            Err(_) => tokio::time::sleep(Duration::from_millis(50)).await,
        }
    }
}
