//! Where the cluster's programs run, and where they find each other.

use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use super::sandbox::Sandbox;
use crate::error::ClusterError;
use crate::port::free_port;
use crate::process;

/// Where a program's clients reach it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ports {
    pub(super) etcd: u16,
    pub(super) etcd_peer: u16,
    pub(super) api: u16,
    pub(super) controller_manager: u16,
    pub(super) scheduler: u16,
}

/// The machine itself, or a sandbox on it.
#[derive(Clone, Debug)]
pub(super) struct ClusterHost {
    state: PathBuf,
    sandbox: Option<Sandbox>,
    pub(super) ports: Ports,
}

impl ClusterHost {
    /// On the machine's loopback, at ports that are free.
    pub(super) fn machine(state: &Path) -> Result<Self, ClusterError> {
        Ok(Self {
            state: state.to_owned(),
            sandbox: None,
            ports: Ports {
                etcd: free_port()?,
                etcd_peer: free_port()?,
                api: free_port()?,
                controller_manager: free_port()?,
                scheduler: free_port()?,
            },
        })
    }

    /// In a sandbox, where every port is free.
    pub(super) fn inside(state: &Path, sandbox: Sandbox) -> Self {
        Self {
            state: state.to_owned(),
            sandbox: Some(sandbox),
            ports: Ports {
                etcd: 2379,
                etcd_peer: 2380,
                api: 6443,
                controller_manager: 10257,
                scheduler: 10259,
            },
        }
    }

    /// The folder.
    pub(super) fn state(&self) -> &Path {
        &self.state
    }

    /// The sandbox, where it is one.
    pub(super) const fn sandbox(&self) -> Option<&Sandbox> {
        self.sandbox.as_ref()
    }

    /// The address of the API server, for people and pods alike.
    pub(super) fn api_address(&self) -> Ipv4Addr {
        self.sandbox
            .as_ref()
            .map_or(Ipv4Addr::LOCALHOST, |sandbox| sandbox.network().node(0))
    }

    /// Whether the API server's port is open.
    pub(super) fn api_listens(&self) -> bool {
        let address = SocketAddr::from((self.api_address(), self.ports.api));
        TcpStream::connect_timeout(&address, Duration::from_secs(1)).is_ok()
    }

    /// A file of the folder `pki`.
    pub(super) fn pki(&self, name: &str) -> String {
        self.state.join("pki").join(name).display().to_string()
    }

    /// The kubeconfig of a program.
    pub(super) fn kubeconfig(&self, name: &str) -> String {
        self.state
            .join(format!("{name}.kubeconfig"))
            .display()
            .to_string()
    }

    /// Starts a program of a node, where the node has its mounts.
    pub(super) fn start_on(&self, node: &str, command: Command, name: &str) -> Result<(), ClusterError> {
        match &self.sandbox {
            Some(sandbox) => sandbox.start_on(node, &command, name),
            None => process::start(command, name, &self.state),
        }
    }

    /// Starts a program of the cluster here.
    pub(super) fn start(&self, command: Command, name: &str) -> Result<(), ClusterError> {
        match &self.sandbox {
            Some(sandbox) => sandbox.start(&command, name),
            None => process::start(command, name, &self.state),
        }
    }
}
