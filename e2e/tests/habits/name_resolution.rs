//! Names in the cluster.

use crate::runner::{Case, cases};
use crate::support::eventually;
use crate::tenant::Tenant;

pub(crate) const CASES: &[Case] = cases![names_of_services_and_of_pods_behind_headless_ones_resolve_in_pods];

fn names_of_services_and_of_pods_behind_headless_ones_resolve_in_pods(it: &Tenant<'_>) {
    it.run_pod("server", "", "hostname: first, subdomain: headless");
    it.kubectl(&["label", "pod", "server", "app=server"]);
    it.apply(
        "{apiVersion: v1, kind: List, items: [\
         {apiVersion: v1, kind: Service, metadata: {name: plain}, spec: {selector: {app: server}, ports: [{port: 80}]}}, \
         {apiVersion: v1, kind: Service, metadata: {name: headless}, spec: {clusterIP: None, selector: {app: server}, ports: [{port: 80}]}}]}",
    );
    let plain = it.json(&["get", "service", "plain"])["spec"]["clusterIP"]
        .as_str()
        .unwrap()
        .to_owned();
    let pod = it.json(&["get", "pod", "server"])["status"]["podIP"]
        .as_str()
        .unwrap()
        .to_owned();
    // As programs ask: by the short name within the namespace, by the long one, and a pod by its own name.
    for (name, address) in [
        (format!("plain.{}.svc.cluster.local", it.name), &plain),
        (format!("headless.{}.svc.cluster.local", it.name), &pod),
        (format!("first.headless.{}.svc.cluster.local", it.name), &pod),
    ] {
        eventually(&format!("{name} to be {address}"), || {
            let (_, said, _) = it.piped(&["exec", "server", "--", "nslookup", &name], "");
            said.contains(&format!("Address: {address}")).then_some(())
        });
    }
    let config = it.exec("server", &["cat", "/etc/resolv.conf"]);
    assert!(
        config.contains(&format!("search {}.svc.cluster.local", it.name)),
        "{config}"
    );
}
