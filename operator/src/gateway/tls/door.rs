//! Two doors of one port, told apart by the name that the client calls the server by: one for everybody, who proves who it is by a token, and one
//! for the people's front, which proves it by a certificate of our own authority. The webhook has a door
//! likewise, at a port of its own: nobody who is let in at one of them is at another.

use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::pki_types::CertificateDer;

use super::proof::{mutual, names};
use super::{TlsError, certified};
use crate::gateway::listen::Entrance;

/// The name that the front calls the gateway by. It is nobody's address.
pub(in crate::gateway) const GATEWAY: &str = "gateway.people.strongroom.dev";
/// The name by which the gateway knows the front.
pub(in crate::gateway) const FRONT: &str = "front.people.strongroom.dev";

/// The name that the webhook calls us by, where it says who writes objects. It is nobody's address.
pub(crate) const ATTESTATIONS: &str = "attestations.strongroom.dev";
/// The name by which we know the webhook.
pub(in crate::gateway) const WEBHOOK: &str = "webhook.attestations.strongroom.dev";

/// The door of a process that proves itself by a certificate: shut until there is a certificate for it.
#[derive(Debug, Default)]
pub(in crate::gateway) struct Door(RwLock<Option<Arc<ServerConfig>>>);

impl Door {
    fn config(&self) -> Option<Arc<ServerConfig>> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Opens it with this certificate, for clients of these authorities; all PEM.
    pub(in crate::gateway) fn open(
        &self,
        chain: &[u8],
        key: &[u8],
        authorities: &str,
    ) -> Result<(), TlsError> {
        let config = mutual(certified(chain, key)?, authorities.as_bytes())?;
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(config));
        Ok(())
    }
}

/// Both doors.
#[derive(Debug)]
pub(in crate::gateway) struct Doors {
    /// Everybody's.
    pub(in crate::gateway) everybody: Arc<ServerConfig>,
    /// The front's.
    pub(in crate::gateway) front: Arc<Door>,
}

impl Entrance for Doors {
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        if name == Some(GATEWAY) {
            return self.front.config();
        }
        Some(Arc::clone(&self.everybody))
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        names(client).iter().any(|name| name == FRONT)
    }
}

/// The webhook's door, and no other.
#[derive(Debug)]
pub(in crate::gateway) struct WebhooksDoor(pub(in crate::gateway) Arc<Door>);

impl Entrance for WebhooksDoor {
    fn config(&self, name: Option<&str>) -> Option<Arc<ServerConfig>> {
        (name == Some(ATTESTATIONS)).then(|| self.0.config()).flatten()
    }

    fn admits(&self, client: &CertificateDer<'_>) -> bool {
        names(client).iter().any(|name| name == WEBHOOK)
    }
}
