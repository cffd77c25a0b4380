//! Messages from the gateway, and what each changes.

use std::time::Duration;

use strongroom_api::stream::proto::gateway_message::Message as FromGateway;
use strongroom_api::stream::proto::node_message::Message as FromNode;
use strongroom_api::stream::proto::{Credit, Denied, GatewayMessage, OnRevoke, Pointer, Refusal, Tombstone};
use strongroom_api::stream::{DeliveredValue, SecretId};

use super::{GrantedVersion, SubscriptionDenial, SubscriptionState, SubscriptionStatus};

impl SubscriptionState {
    /// Takes a message in. Answers what is wrong with it, for the count of such.
    ///
    /// # Errors
    /// A word for what the gateway did wrong; nothing of the message was taken then.
    pub fn receive(&mut self, message: GatewayMessage) -> Result<(), &'static str> {
        match message.message {
            Some(FromGateway::Value(value)) => {
                let bytes = value.window_bytes();
                let delivered = DeliveredValue::try_from(value);
                self.send(FromNode::Credit(Credit {
                    bytes: u32::try_from(bytes).unwrap_or(u32::MAX),
                }));
                self.held.put(delivered.map_err(|_| "value")?);
                self.answer_waiting();
                Ok(())
            }
            Some(FromGateway::Granted(granted)) => {
                self.apply_pointers(&granted.subscription, granted.pointers, true)
            }
            Some(FromGateway::Moved(moved)) => {
                self.apply_pointers(&moved.subscription, moved.pointers, false)
            }
            Some(FromGateway::Denied(denied)) => {
                self.deny(denied);
                Ok(())
            }
            Some(FromGateway::Tombstone(tombstone)) => {
                self.apply_tombstone(&tombstone);
                Ok(())
            }
            Some(FromGateway::PodAddress(is)) => {
                let of = self.subscriptions.get_mut(&is.subscription);
                if let Some(asks) = of.and_then(|of| of.address_waiter.take()) {
                    // Whoever waits no more, waits for nothing.
                    let _ = asks.send(is.address);
                }
                Ok(())
            }
            Some(FromGateway::Heartbeat(_) | FromGateway::JournalTaken(_)) => Ok(()),
            Some(FromGateway::Welcome(_)) => Err("welcome"),
            // The connection looks at it.
            Some(FromGateway::Goodbye(_)) => Ok(()),
            None => Err("unknown"),
        }
    }

    fn apply_pointers(
        &mut self,
        volume: &str,
        pointers: Vec<Pointer>,
        whole: bool,
    ) -> Result<(), &'static str> {
        let counting = self.counting;
        // Unsubscribed meanwhile.
        let Some(subscription) = self.subscriptions.get_mut(volume) else {
            return Ok(());
        };
        let mut parsed = Vec::new();
        for pointer in pointers {
            let index = usize::try_from(pointer.secret).map_err(|_| "pointer")?;
            let secret = SecretId::try_from(pointer.secret_id.as_slice()).map_err(|_| "pointer")?;
            let item = GrantedVersion {
                key: (secret, pointer.version_id),
                revision: pointer.revision,
                counting,
                ended: false,
                wipe: pointer.on_revoke == i32::from(OnRevoke::Wipe),
                fetching: false,
                offline: Duration::from_secs(pointer.offline_max_age_s),
            };
            parsed.push((index, item));
        }
        if whole {
            parsed.sort_by_key(|(index, _)| *index);
            let complete = parsed
                .iter()
                .map(|(index, _)| *index)
                .eq(0..subscription.wanted.len());
            if !complete {
                return Err("granted");
            }
        }
        subscription.confirmed |= whole;
        let mut changed = false;
        match (&mut subscription.status, whole) {
            (SubscriptionStatus::Granted(items), _) => {
                for (index, mut item) in parsed {
                    let Some(there) = items.get_mut(index) else {
                        continue;
                    };
                    // A secret that was deleted and made again is another one, and counts from the start.
                    let comparable = item.counting == there.counting && item.key.0 == there.key.0;
                    if comparable && item.revision < there.revision {
                        continue;
                    }
                    item.fetching = there.fetching && item.key == there.key;
                    changed |=
                        item.key != there.key || item.ended != there.ended || item.offline != there.offline;
                    *there = item;
                }
            }
            (status, true) => {
                changed = true;
                *status = SubscriptionStatus::Granted(parsed.into_iter().map(|(_, item)| item).collect());
            }
            (_, false) => return Err("moved"),
        }
        if changed {
            subscription.changes.send_modify(|changes| *changes += 1);
        }
        self.prune();
        self.answer_readers(volume);
        Ok(())
    }

    fn deny(&mut self, denied: Denied) {
        let Some(subscription) = self.subscriptions.get_mut(&denied.subscription) else {
            return;
        };
        let refused = SubscriptionDenial {
            code: Refusal::try_from(denied.code).unwrap_or(Refusal::Unspecified),
            message: denied.message,
            wipe: denied.on_revoke == i32::from(OnRevoke::Wipe),
        };
        for reader in subscription.readers.drain(..) {
            // Whoever waits no more, waits for nothing.
            let _ = reader.send(Err(refused.clone()));
        }
        let shown = match std::mem::replace(&mut subscription.status, SubscriptionStatus::Waiting) {
            SubscriptionStatus::Granted(items) | SubscriptionStatus::Denied(_, items)
                if refused.is_permanent() && !refused.wipe =>
            {
                let end = |item| GrantedVersion {
                    ended: true,
                    wipe: false,
                    ..item
                };
                items.into_iter().map(end).collect()
            }
            _ => Vec::new(),
        };
        subscription.status = SubscriptionStatus::Denied(refused, shown);
        subscription.confirmed = false;
        subscription.changes.send_modify(|changes| *changes += 1);
        self.prune();
    }

    fn apply_tombstone(&mut self, tombstone: &Tombstone) {
        let Some(subscription) = self.subscriptions.get_mut(&tombstone.subscription) else {
            return;
        };
        let index = usize::try_from(tombstone.secret).ok();
        if let SubscriptionStatus::Granted(items) = &mut subscription.status
            && let Some(item) = index.and_then(|index| items.get_mut(index))
        {
            item.ended = true;
            item.wipe = tombstone.on_revoke == i32::from(OnRevoke::Wipe);
            subscription.changes.send_modify(|changes| *changes += 1);
            self.answer_readers(&tombstone.subscription);
        }
    }
}
