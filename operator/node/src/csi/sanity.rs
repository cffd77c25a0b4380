//! A Controller for csi-sanity, which calls one to create each volume before it publishes it. It remembers
//! only ids, because the volumes of this plugin begin and end with their pods.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tonic::{Request, Response, Status};

use crate::proto::csi::controller_server::{Controller, ControllerServer};
use crate::proto::csi::controller_service_capability::rpc::Type as Capability;
use crate::proto::csi::controller_service_capability::{Rpc, Type as CapabilityKind};
use crate::proto::csi::plugin_capability::service::Type as ServiceKind;
use crate::proto::csi::plugin_capability::{Service, Type as PluginKind};
use crate::proto::csi::validate_volume_capabilities_response::Confirmed;
use crate::proto::csi::{
    ControllerGetCapabilitiesRequest, ControllerGetCapabilitiesResponse, ControllerServiceCapability,
    CreateVolumeRequest, CreateVolumeResponse, DeleteVolumeRequest, DeleteVolumeResponse,
    GetPluginCapabilitiesResponse, PluginCapability, ValidateVolumeCapabilitiesRequest,
    ValidateVolumeCapabilitiesResponse, Volume,
};

pub(super) fn controller() -> ControllerServer<impl Controller> {
    ControllerServer::new(SanityController::default())
}

pub(super) fn capabilities() -> GetPluginCapabilitiesResponse {
    GetPluginCapabilitiesResponse {
        capabilities: vec![PluginCapability {
            r#type: Some(PluginKind::Service(Service {
                r#type: ServiceKind::ControllerService.into(),
            })),
        }],
    }
}

/// Sizes of volumes by name.
#[derive(Debug, Default)]
struct SanityController(Mutex<BTreeMap<String, i64>>);

#[tonic::async_trait]
impl Controller for SanityController {
    async fn create_volume(
        &self,
        call: Request<CreateVolumeRequest>,
    ) -> Result<Response<CreateVolumeResponse>, Status> {
        let call = call.into_inner();
        if call.name.is_empty() || call.volume_capabilities.is_empty() {
            return Err(Status::invalid_argument("name or capabilities are missing"));
        }
        let size = call
            .capacity_range
            .map(|range| range.required_bytes)
            .unwrap_or_default();
        let mut volumes = self.0.lock();
        let there = *volumes.entry(call.name.clone()).or_insert(size);
        if there != size {
            return Err(Status::already_exists("a volume of this name has another size"));
        }
        Ok(Response::new(CreateVolumeResponse {
            volume: Some(Volume {
                capacity_bytes: size,
                volume_id: call.name,
                volume_context: std::collections::HashMap::new(),
            }),
        }))
    }

    async fn delete_volume(
        &self,
        call: Request<DeleteVolumeRequest>,
    ) -> Result<Response<DeleteVolumeResponse>, Status> {
        let id = call.into_inner().volume_id;
        if id.is_empty() {
            return Err(Status::invalid_argument("the volume id is missing"));
        }
        self.0.lock().remove(&id);
        Ok(Response::new(DeleteVolumeResponse {}))
    }

    async fn validate_volume_capabilities(
        &self,
        call: Request<ValidateVolumeCapabilitiesRequest>,
    ) -> Result<Response<ValidateVolumeCapabilitiesResponse>, Status> {
        let call = call.into_inner();
        if call.volume_id.is_empty() || call.volume_capabilities.is_empty() {
            return Err(Status::invalid_argument("volume id or capabilities are missing"));
        }
        let volumes = self.0.lock();
        if !volumes.contains_key(&call.volume_id) {
            return Err(Status::not_found("no such volume"));
        }
        Ok(Response::new(ValidateVolumeCapabilitiesResponse {
            confirmed: Some(Confirmed {
                volume_capabilities: call.volume_capabilities,
            }),
        }))
    }

    async fn controller_get_capabilities(
        &self,
        _: Request<ControllerGetCapabilitiesRequest>,
    ) -> Result<Response<ControllerGetCapabilitiesResponse>, Status> {
        Ok(Response::new(ControllerGetCapabilitiesResponse {
            capabilities: vec![ControllerServiceCapability {
                r#type: Some(CapabilityKind::Rpc(Rpc {
                    r#type: Capability::CreateDeleteVolume.into(),
                })),
            }],
        }))
    }
}
