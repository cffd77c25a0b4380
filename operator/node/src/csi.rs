//! The interface to kubelet: gRPC on one Unix socket. Calls are turned into those of [`Plugin`], and errors
//! into codes; nothing is decided here.

mod registration;
#[cfg(feature = "testing")]
mod sanity;
mod socket;

use std::path::PathBuf;

use strongroom_process::Shutdown;
use tonic::transport::Server;
use tonic::{Request, Response, Status};

pub use registration::socket_name;
pub use socket::{SocketError, bind, is_served};

use self::registration::Registrar;
use crate::plugin::{Plugin, PluginError, volume_id};
use crate::proto::csi::identity_server::{Identity, IdentityServer};
use crate::proto::csi::node_server::{Node, NodeServer};
use crate::proto::csi::node_service_capability::rpc::Type as Capability;
use crate::proto::csi::node_service_capability::{Rpc, Type as CapabilityKind};
use crate::proto::csi::volume_usage::Unit;
use crate::proto::csi::{
    GetPluginCapabilitiesRequest, GetPluginCapabilitiesResponse, GetPluginInfoRequest, GetPluginInfoResponse,
    NodeGetCapabilitiesRequest, NodeGetCapabilitiesResponse, NodeGetInfoRequest, NodeGetInfoResponse,
    NodeGetVolumeStatsRequest, NodeGetVolumeStatsResponse, NodePublishVolumeRequest,
    NodePublishVolumeResponse, NodeServiceCapability, NodeUnpublishVolumeRequest,
    NodeUnpublishVolumeResponse, ProbeRequest, ProbeResponse, VolumeUsage,
};
use crate::proto::registration::registration_server::RegistrationServer;

/// The driver's name.
pub const DRIVER: &str = "csi.strongroom.dev";

/// Largest call, in bytes: attributes may hold templates.
const MAX_CALL_BYTES: usize = 1_048_576;

/// Serves kubelet until the shutdown begins.
///
/// # Errors
/// [`SocketError`].
pub async fn serve(
    socket: PathBuf,
    node_name: String,
    plugin: Plugin,
    shutdown: Shutdown,
    listening: impl FnOnce(),
) -> Result<(), SocketError> {
    let incoming = bind(&socket)?;
    listening();
    #[cfg(feature = "testing")]
    let sanity = plugin.parser().sanity;
    let edge = CsiService { node_name, plugin };
    let router = Server::builder()
        .add_service(RegistrationServer::new(Registrar))
        .add_service(IdentityServer::new(edge.clone()))
        .add_service(NodeServer::new(edge).max_decoding_message_size(MAX_CALL_BYTES));
    #[cfg(feature = "testing")]
    let router = router.add_optional_service(sanity.then(sanity::controller));
    let served = router.serve_with_incoming_shutdown(incoming, async move { shutdown.wait().await });
    served
        .await
        .map_err(|error| SocketError::Serve(error.to_string()))
}

#[derive(Clone, Debug)]
struct CsiService {
    node_name: String,
    plugin: Plugin,
}

#[tonic::async_trait]
impl Identity for CsiService {
    async fn get_plugin_info(
        &self,
        _: Request<GetPluginInfoRequest>,
    ) -> Result<Response<GetPluginInfoResponse>, Status> {
        Ok(Response::new(GetPluginInfoResponse {
            name: DRIVER.to_owned(),
            vendor_version: env!("CARGO_PKG_VERSION").to_owned(),
        }))
    }

    async fn get_plugin_capabilities(
        &self,
        _: Request<GetPluginCapabilitiesRequest>,
    ) -> Result<Response<GetPluginCapabilitiesResponse>, Status> {
        #[cfg(feature = "testing")]
        if self.plugin.parser().sanity {
            return Ok(Response::new(sanity::capabilities()));
        }
        Ok(Response::new(GetPluginCapabilitiesResponse::default()))
    }

    async fn probe(&self, _: Request<ProbeRequest>) -> Result<Response<ProbeResponse>, Status> {
        Ok(Response::new(ProbeResponse {}))
    }
}

#[tonic::async_trait]
impl Node for CsiService {
    async fn node_publish_volume(
        &self,
        call: Request<NodePublishVolumeRequest>,
    ) -> Result<Response<NodePublishVolumeResponse>, Status> {
        let id = call.get_ref().volume_id.clone();
        let request = self.plugin.parser().parse_publish(call.into_inner());
        let pod = request
            .as_ref()
            .map(|request| request.pod.clone())
            .unwrap_or_default();
        let result = match request {
            Ok(request) => self.plugin.publish(request).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(Response::new(NodePublishVolumeResponse {})),
            Err(error) => Err(refused("publish", &id, &pod.namespace, &pod.name, error)),
        }
    }

    async fn node_unpublish_volume(
        &self,
        call: Request<NodeUnpublishVolumeRequest>,
    ) -> Result<Response<NodeUnpublishVolumeResponse>, Status> {
        let call = call.into_inner();
        let result = match volume_id(&call.volume_id)
            .and_then(|id| Ok((id, self.plugin.parser().target(&call.target_path)?)))
        {
            Ok((id, target)) => self.plugin.unpublish(id, target).await,
            Err(error) => Err(error),
        };
        match result {
            Ok(()) => Ok(Response::new(NodeUnpublishVolumeResponse {})),
            Err(error) => Err(refused("unpublish", &call.volume_id, "", "", error)),
        }
    }

    async fn node_get_volume_stats(
        &self,
        call: Request<NodeGetVolumeStatsRequest>,
    ) -> Result<Response<NodeGetVolumeStatsResponse>, Status> {
        let call = call.into_inner();
        let id = volume_id(&call.volume_id)?;
        if call.volume_path.is_empty() {
            return Err(PluginError::Request("the volume path is missing").into());
        }
        let usage = self.plugin.usage(&id, call.volume_path.as_ref())?;
        let used = |(total, free): (u64, u64), unit: Unit| VolumeUsage {
            available: signed(free),
            total: signed(total),
            used: signed(total.saturating_sub(free)),
            unit: unit.into(),
        };
        Ok(Response::new(NodeGetVolumeStatsResponse {
            usage: vec![used(usage.bytes, Unit::Bytes), used(usage.inodes, Unit::Inodes)],
        }))
    }

    async fn node_get_capabilities(
        &self,
        _: Request<NodeGetCapabilitiesRequest>,
    ) -> Result<Response<NodeGetCapabilitiesResponse>, Status> {
        // Without VOLUME_MOUNT_GROUP no pod that is not root's could read: kubelet does not give files of a
        // read-only volume away itself.
        let capabilities =
            [Capability::GetVolumeStats, Capability::VolumeMountGroup].map(|kind| NodeServiceCapability {
                r#type: Some(CapabilityKind::Rpc(Rpc { r#type: kind.into() })),
            });
        Ok(Response::new(NodeGetCapabilitiesResponse {
            capabilities: capabilities.to_vec(),
        }))
    }

    async fn node_get_info(
        &self,
        _: Request<NodeGetInfoRequest>,
    ) -> Result<Response<NodeGetInfoResponse>, Status> {
        Ok(Response::new(NodeGetInfoResponse {
            node_id: self.node_name.clone(),
        }))
    }
}

fn signed(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

fn refused(what: &str, volume: &str, namespace: &str, pod: &str, error: PluginError) -> Status {
    tracing::warn!(%error, code = ?error.code(), call = what, volume, namespace, pod, "csi call failed");
    error.into()
}
