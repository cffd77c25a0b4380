//! The promise: a tenant who does everything at once that an attacker can think of uses up their own share,
//! and nobody else's.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "a test that cannot set up must stop"
)]

#[path = "faults/load.rs"]
#[allow(dead_code, reason = "more is there than this needs")]
mod load;
mod support;

use std::sync::Arc;
use std::time::{Duration, Instant};

use http::{Method, StatusCode};
use kube::config::{KubeConfigOptions, Kubeconfig};
use strongroom_e2e::Strongroom;
use strongroom_e2e::attacks::{Attack, Attacker, Target};
use tokio::runtime::Runtime;

use load::{Answer, Server, external, runtime, value};
use support::{Fixture, eventually, free_port, generated};

/// How long all of it goes on, at least.
const ATTACK: Duration = Duration::from_secs(60);
/// What nothing of the other tenant may take longer than.
const DEADLINE: Duration = Duration::from_secs(30);
/// An absence is looked at for half a minute before it counts as one.
const ABSENCE: Duration = Duration::from_secs(30);
/// Between two of their requests, and two of their objects, of each kind and pod: some six hundred requests
/// and a hundred objects a second.
const PAUSE: Duration = Duration::from_millis(20);
/// More than enough to fill the process if each were kept as it is.
const LARGE_OBJECTS: usize = 140;
/// The chart's limit, in KiB.
const MEMORY: u64 = 512 << 10;

/// The tenant who is attacked: what they do, and how long that took at most.
struct Tenant<'a> {
    f: &'a Fixture,
    runtime: &'a Runtime,
    server: Server,
    slowest: (Duration, String),
}

impl Tenant<'_> {
    /// What has to come to pass before the deadline.
    fn within<T>(&mut self, what: &str, act: impl FnOnce(&Self) -> T) -> T {
        let begin = Instant::now();
        let done = act(self);
        let took = begin.elapsed();
        assert!(took < DEADLINE, "{what} took {took:?}");
        if took > self.slowest.0 {
            self.slowest = (took, what.to_owned());
        }
        done
    }

    fn ask(&mut self, method: Method, path: &str, text: Option<&str>) -> Answer {
        let what = format!("{method} {path}");
        let body = text.map(value);
        let answer = self.within(&what, |it| {
            load::ask(it.runtime, &it.server, method, path, body.as_ref())
        });
        let refused = [StatusCode::TOO_MANY_REQUESTS, StatusCode::SERVICE_UNAVAILABLE];
        assert!(!refused.contains(&answer.status), "{what}: {answer:?}");
        answer
    }

    fn read(&mut self, name: &str, expected: StatusCode) {
        let answer = self.ask(Method::GET, &format!("{name}/value"), None);
        assert_eq!(answer.status, expected, "{answer:?}");
    }

    /// Everything that a tenant does, once, but for a deletion; the secret that was made.
    fn round(&mut self, number: usize) -> String {
        let version = format!("s0/versions/v-{number}");
        let put = self.ask(Method::PUT, &version, Some("v"));
        assert_eq!(put.status, StatusCode::CREATED, "{put:?}");
        for _ in 0..20 {
            self.read("s0", StatusCode::OK);
        }

        let name = format!("round-{number}");
        self.f.apply(&generated(&name));
        let made = self.within("a new secret", |it| {
            eventually("its native Secret", || it.f.native(&name))
        });
        self.f.kubectl(&[
            "-n",
            "shop",
            "annotate",
            "managedsecret",
            &name,
            "strongroom.dev/rotate-now=once",
        ]);
        self.within("a rotation", |it| {
            eventually("another value", || (it.f.native(&name)? != made).then_some(()));
        });

        self.f.apply(
            "apiVersion: strongroom.dev/v1alpha1\nkind: SecretPolicy\nmetadata: {name: closed, namespace: shop}\nspec:\n  secrets: [s0]\n  \
             statements:\n  - {effect: Deny, principals: [{serviceAccount: app}], actions: [\"secrets:GetSecretValue\"]}\n",
        );
        self.until_read("a denial", StatusCode::FORBIDDEN);
        self.f
            .kubectl(&["-n", "shop", "delete", "secretpolicy", "closed"]);
        self.until_read("the end of a denial", StatusCode::OK);
        name
    }

    fn until_read(&mut self, what: &str, expected: StatusCode) {
        self.within(what, |it| {
            let begin = Instant::now();
            loop {
                let answer = load::ask(it.runtime, &it.server, Method::GET, "s0/value", None);
                if answer.status == expected {
                    return;
                }
                assert!(begin.elapsed() < DEADLINE, "{what}: {answer:?}");
            }
        });
    }
}

/// A deletion of the tenant's, of which half a minute is waiting: other things are done meanwhile.
fn delete(f: &Fixture, name: &str) {
    f.kubectl(&["-n", "shop", "delete", "managedsecret", name]);
    let begin = Instant::now();
    eventually("its native Secret to be gone", || {
        f.native(name).is_none().then_some(())
    });
    let took = begin.elapsed();
    assert!(took < ABSENCE + DEADLINE, "a deletion took {took:?}");
}

/// The most memory that a process had resident, in KiB.
fn peak(strongroom: &Strongroom) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", strongroom.pid())).unwrap();
    let line = status
        .lines()
        .find_map(|line| line.strip_prefix("VmHWM:"))
        .unwrap();
    line.split_whitespace().next().unwrap().parse().unwrap()
}

#[test]
fn one_tenants_worst_is_nobody_elses() {
    let f = Fixture::new();
    let port = free_port();
    let listen = format!("--gateway-listen=127.0.0.1:{port}");
    // As the chart has it, with nodes; so much for rates that the one who is attacked stays below them.
    let arguments = [listen.as_str(), "--node-account=strongroom-node"];
    let start = || Strongroom::start_with(&f.cluster, &f.data(), &arguments).unwrap();
    let mut strongroom = start();
    for name in ["s0", "s1"] {
        f.apply(&external(name));
        f.wait_ready(name, "False", "AwaitingValue");
    }
    let server = Server::new(port, &f.authority(), &f.app_token());
    f.kubectl(&[
        "-n",
        "shop",
        "wait",
        "--for=condition=Ready",
        "secretpolicy/all",
        "--timeout=60s",
    ]);
    let runtime = runtime();
    let mut tenant = Tenant {
        f: &f,
        runtime: &runtime,
        server,
        slowest: (Duration::ZERO, String::new()),
    };
    let first = tenant.round(0);

    let attackers = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        // All share one machine, and the attacker may use what is left of it. That does not bound what they
        // take of the service.
        .on_thread_start(|| {
            rustix::process::nice(19).unwrap();
        })
        .enable_all()
        .build()
        .unwrap();
    let victim = "/v1/namespaces/shop/secrets/s0/value";
    let attacker = attackers.block_on(async {
        let kubeconfig = Kubeconfig::read_from(f.cluster.kubeconfig()).unwrap();
        let config = kube::Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default())
            .await
            .unwrap();
        let client = kube::Client::try_from(config).unwrap();
        let target = Target::new(port, &f.authority()).unwrap();
        Attacker::prepare(client, target, victim).await.unwrap()
    });
    let attacker = Arc::new(attacker.with_pause(PAUSE));
    let begin = Instant::now();
    for attack in Attack::all(LARGE_OBJECTS) {
        attackers.spawn(Arc::clone(&attacker).attack(attack));
    }
    let mut rounds = 1;
    std::thread::scope(|scope| {
        let f = &f;
        // One at a time: many at once would have to be confirmed.
        let mut deletion = scope.spawn(move || delete(f, &first));
        while begin.elapsed() < ATTACK {
            let name = tenant.round(rounds);
            rounds += 1;
            assert_eq!(strongroom.ended(), None, "{}", strongroom.log());
            if deletion.is_finished() {
                deletion.join().unwrap();
                deletion = scope.spawn(move || delete(f, &name));
            }
        }
        deletion.join().unwrap();
    });
    assert_eq!(strongroom.ended(), None, "{}", strongroom.log());
    let attacked = peak(&strongroom);
    attackers.shutdown_background();
    assert!(attacked < MEMORY, "{attacked} KiB were resident");

    // A start finds all that the attacker declared.
    assert!(strongroom.stop().unwrap().success());
    let mut strongroom = start();
    // Until all policies were seen nobody reads.
    tenant.within("a start", |it| {
        eventually("the policies to be loaded", || {
            let answer = load::ask(it.runtime, &it.server, Method::GET, "s0/value", None);
            (answer.status == StatusCode::OK).then_some(())
        });
    });
    let last = tenant.round(rounds);
    delete(&f, &last);
    assert_eq!(strongroom.ended(), None, "{}", strongroom.log());
    let restarted = peak(&strongroom);
    assert!(
        restarted < MEMORY,
        "{restarted} KiB were resident after the start"
    );
    println!(
        "{} rounds; the slowest was {} with {:?}; at most {attacked} KiB, {restarted} KiB after a restart",
        rounds + 1,
        tenant.slowest.1,
        tenant.slowest.0
    );
}
