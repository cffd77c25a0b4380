//! Starts everything and waits for its end.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Parser;
use strongroom_process::{
    Check, Health, LoggingError, ServerError, Shutdown, WorkPool, init_logging, shutdown_on_signal,
};
use tokio::sync::watch;
use tokio::time::Instant;

use crate::csi::{self, SocketError};
use crate::lock::{LockError, PluginLock};
use crate::memory_quota::MemoryQuota;
use crate::metrics::Metrics;
use crate::mount::Limits;
use crate::offline::{Cache, CacheKey, Journal};
use crate::plugin::{OfflineFallback, Parts, Plugin, PluginError, RequestParser};
use crate::settings::Settings;
use crate::state::{VolumeRecords, boot_id};
use crate::stream::{self, Endpoint, Stream, SubscriptionState};

/// How long calls may take to end once the end was asked for. A caller that hangs on must not hold it up
/// until the process is killed.
const SHUTDOWN_GRACE: Duration = Duration::from_secs(3);
/// How often it is looked whether another plugin has ended.
const LOCK_POLL_INTERVAL: Duration = Duration::from_millis(100);
/// How long to wait for a plugin that answers kubelet and has no lock, because its version knew none. It ends
/// sooner where it was asked to.
const UNLOCKED_PLUGIN_TIMEOUT: Duration = Duration::from_secs(60);

/// Why the plugin cannot run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Logging cannot be set up.
    #[error("{0}")]
    Logging(#[from] LoggingError),
    /// The runtime or its signals.
    #[error("cannot start: {0}")]
    Runtime(#[from] std::io::Error),
    /// The gateway's certificate could not be verified.
    #[error("--gateway-url is https, so --gateway-ca must name its CA file")]
    NoAuthority,
    /// The gateway would see tokens and give values in the clear.
    #[error("--gateway-url is neither https nor on loopback: values would travel in the clear")]
    Clear,
    /// The lock of the node.
    #[error("{0}")]
    Lock(#[from] LockError),
    /// What earlier processes left cannot be read.
    #[error("{0}")]
    Plugin(#[from] PluginError),
    /// kubelet's socket cannot be served.
    #[error("{0}")]
    Socket(#[from] SocketError),
    /// The port for health and metrics.
    #[error("{0}")]
    Server(#[from] ServerError),
}

/// The program: reads its flags, and runs until it is told to stop.
#[must_use]
pub fn main() -> ExitCode {
    // A dump would hold values, tokens and the key of the cache.
    if let Err(error) = forbid_core_dumps() {
        let _ = writeln!(
            std::io::stderr(),
            "strongroom-node: core dumps, which could contain values, cannot be disabled: {error}"
        );
    }
    // A client without a provider panics. Only a second call fails.
    let _ = rustls::crypto::ring::default_provider().install_default();
    match run(Settings::parse()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Logging may be what failed.
            let _ = writeln!(std::io::stderr(), "strongroom-node: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Makes the process undumpable, and its limit of core dumps zero.
fn forbid_core_dumps() -> std::io::Result<()> {
    use rustix::process::{DumpableBehavior, Resource, Rlimit, set_dumpable_behavior, setrlimit};
    let none = Rlimit {
        current: Some(0),
        maximum: Some(0),
    };
    setrlimit(Resource::Core, none)?;
    Ok(set_dumpable_behavior(DumpableBehavior::NotDumpable)?)
}

/// Runs the plugin until a signal ends it.
///
/// # Errors
/// [`RunError`].
pub fn run(settings: Settings) -> Result<(), RunError> {
    init_logging(settings.log_format, &settings.log_filter)?;
    // Whatever is made below is root's alone until it is said otherwise.
    rustix::process::umask(rustix::fs::Mode::from_raw_mode(0o077));
    let lock = PluginLock::open(&settings.state_dir)?;
    // One thread: the work is waiting. Files are written on another, so that a slow disk holds nobody else
    // up; they are made on threads of their own.
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(4)
        .thread_stack_size(512 * 1_024)
        .build()?;
    let result = runtime.block_on(serve(settings, &lock));
    // The last write is over before the next plugin begins.
    drop(runtime);
    drop(lock);
    result
}

fn endpoint(settings: &Settings) -> Result<Endpoint, RunError> {
    let secure = settings.gateway_url.starts_with("https://");
    let loopback = ["http://127.0.0.1:", "http://[::1]:"];
    match (secure, &settings.gateway_ca) {
        (true, None) => Err(RunError::NoAuthority),
        (false, _)
            if !loopback
                .iter()
                .any(|start| settings.gateway_url.starts_with(start)) =>
        {
            Err(RunError::Clear)
        }
        _ => Ok(Endpoint {
            url: settings.gateway_url.clone(),
            authority: settings.gateway_ca.clone().filter(|_| secure),
            token: settings.token_file.clone(),
        }),
    }
}

/// The node's cache; none where the kernel keeps no key for it.
fn cache(settings: &Settings, boot_id: &str) -> Result<Option<Cache>, RunError> {
    match CacheKey::of_this_boot() {
        Ok(key) => {
            let cache = Cache::open(settings.state_dir.join("cache"), boot_id, key);
            Ok(Some(cache.map_err(PluginError::from)?))
        }
        Err(error) => {
            tracing::warn!(%error, "cache unavailable, pods cannot start without the gateway");
            Ok(None)
        }
    }
}

async fn serve(settings: Settings, lock: &PluginLock) -> Result<(), RunError> {
    let endpoint = endpoint(&settings)?;
    let shutdown = shutdown_on_signal()?;
    let health = Health::default();
    health.set("csi", Check::Waiting("the socket is not open yet".to_owned()));
    let (metrics, work, registry) = Metrics::of_plugin();
    // Before anything else: a plugin that waits for another one is alive.
    let http = strongroom_process::serve(
        settings.http_listen,
        health.clone(),
        Arc::new(registry),
        shutdown.clone(),
        |address| tracing::info!(%address, "serving health and metrics"),
    );
    let process = PluginProcess {
        lock,
        endpoint,
        health,
        metrics,
        work,
    };
    let kubelet = process.serve_kubelet(settings, &shutdown);

    // The first that fails ends the others.
    let http = async { Ok::<_, RunError>(http.await?) };
    let result = tokio::select! {
        result = async { tokio::try_join!(http, kubelet) } => result.map(drop),
        () = overdue(&shutdown) => Ok(()),
    };
    shutdown.begin();
    result
}

/// Waits until no other plugin serves this node, and holds the lock then; false where the end comes first.
async fn wait_exclusive(
    lock: &PluginLock,
    socket: &Path,
    health: &Health,
    shutdown: &Shutdown,
) -> Result<bool, RunError> {
    let mut told = false;
    let mut wait = || {
        if !std::mem::replace(&mut told, true) {
            let why = "waiting for another plugin on this node to stop";
            tracing::info!("{why}");
            health.set("csi", Check::Waiting(why.to_owned()));
        }
        tokio::time::sleep(LOCK_POLL_INTERVAL)
    };
    let turn = async {
        while !lock.try_take()? {
            wait().await;
        }
        let locked = Instant::now();
        while locked.elapsed() < UNLOCKED_PLUGIN_TIMEOUT && csi::is_served(socket).await {
            wait().await;
        }
        Ok(true)
    };
    tokio::select! {
        turn = turn => turn,
        () = shutdown.wait() => Ok(false),
    }
}

/// What the process holds.
struct PluginProcess<'a> {
    lock: &'a PluginLock,
    endpoint: Endpoint,
    health: Health,
    metrics: Metrics,
    work: WorkPool,
}

impl PluginProcess<'_> {
    /// Serves kubelet once nobody else does, until the shutdown begins.
    async fn serve_kubelet(self, settings: Settings, shutdown: &Shutdown) -> Result<(), RunError> {
        let socket = settings.socket();
        if !wait_exclusive(self.lock, &socket, &self.health, shutdown).await? {
            return Ok(());
        }
        let boot_id = boot_id().map_err(PluginError::from)?;

        let journal = Arc::new(Journal::open(&settings.journal_dir).map_err(PluginError::from)?);
        let offline = cache(&settings, &boot_id)?;
        let (link, linked) = watch::channel(false);
        let (subscriptions, commands) = stream::channel();
        let held = usize::try_from(settings.held_kib.saturating_mul(1_024)).unwrap_or(usize::MAX);
        let stream = Stream {
            endpoint: self.endpoint,
            boot_id: boot_id.clone(),
            journal: Arc::clone(&journal),
            link,
            metrics: self.metrics.clone(),
            shutdown: shutdown.clone(),
        };
        let streaming = tokio::spawn(stream::run(stream, SubscriptionState::new(held), commands));

        let plugin = Plugin::new(Parts {
            parser: RequestParser {
                targets: settings.targets(),
                audience: settings.audience.clone(),
                #[cfg(feature = "testing")]
                sanity: settings.sanity.is_some(),
            },
            subscriptions,
            records: VolumeRecords::open(settings.state_dir.join("volumes")).map_err(PluginError::from)?,
            boot_id,
            limits: Limits {
                bytes: settings.volume_kib.saturating_mul(1_024),
                inodes: settings.volume_inodes,
            },
            memory_quota: MemoryQuota::with_limit(settings.memory_limit),
            work: self.work,
            patience: settings.patience(),
            offline: OfflineFallback {
                cache: offline,
                journal,
                linked,
                after: Duration::from_secs(settings.offline_after),
            },
            metrics: self.metrics,
        });
        // Before kubelet can call: what it then publishes again is known.
        plugin.resume().await?;

        let every = Duration::from_secs(settings.look_every);
        tokio::spawn(sweep_volumes(plugin.clone(), every, shutdown.clone()));
        let health = self.health;
        let listening = || {
            health.set("csi", Check::Ready);
            tracing::info!(socket = %socket.display(), "serving csi");
        };
        csi::serve(
            socket.clone(),
            settings.node_name,
            plugin,
            shutdown.clone(),
            listening,
        )
        .await?;
        // Nothing of the stream is worth waiting for longer than it takes to end.
        let _ = streaming.await;
        Ok(())
    }
}

/// Returns when the end is overdue. Whatever is under way then is safe: it is made for a death at any time.
async fn overdue(shutdown: &Shutdown) {
    shutdown.wait().await;
    tokio::time::sleep(SHUTDOWN_GRACE).await;
}

async fn sweep_volumes(plugin: Plugin, every: Duration, shutdown: Shutdown) {
    loop {
        tokio::select! {
            () = shutdown.wait() => return,
            () = tokio::time::sleep(every) => {}
        }
        if let Err(error) = plugin.sweep_volumes().await {
            tracing::warn!(%error, "volume sweep failed");
        }
    }
}

#[cfg(test)]
mod tests {
    use rustix::process::{DumpableBehavior, Resource, dumpable_behavior, getrlimit};

    #[test]
    fn no_core_dump_is_written_of_the_plugin() {
        super::forbid_core_dumps().unwrap();
        assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);
        let limit = getrlimit(Resource::Core);
        assert_eq!((limit.current, limit.maximum), (Some(0), Some(0)));
    }
}
