//! Messages with a secret in them wipe it when they are dropped, and don't print it. What is generated has
//! neither.

use std::fmt;

use zeroize::Zeroize;

use super::proto::{Hello, Key, RenewToken, Subscribe};

impl Drop for Key {
    fn drop(&mut self) {
        self.value.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Key({}, {} bytes)", self.name, self.value.len())
    }
}

impl Drop for Hello {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl fmt::Debug for Hello {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hello")
            .field("protocol_versions", &self.protocol_versions)
            .field("boot_id", &self.boot_id)
            .field("plugin_version", &self.plugin_version)
            .field("held", &self.held.len())
            .finish_non_exhaustive()
    }
}

impl Drop for Subscribe {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl fmt::Debug for Subscribe {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Subscribe")
            .field("subscription", &self.subscription)
            .field("secrets", &self.secrets)
            .finish_non_exhaustive()
    }
}

impl Drop for RenewToken {
    fn drop(&mut self) {
        self.token.zeroize();
    }
}

impl fmt::Debug for RenewToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RenewToken")
            .field("subscription", &self.subscription)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::super::proto::node_message::Message;
    use super::super::proto::{GatewayMessage, NodeMessage, Value, gateway_message};
    use super::*;

    #[test]
    fn nothing_secret_is_printed() {
        let token = || "MARKER".to_owned();
        let messages = [
            Message::Hello(Hello {
                protocol_versions: vec![1],
                token: token(),
                boot_id: String::new(),
                plugin_version: String::new(),
                held: Vec::new(),
                window_bytes: 0,
            }),
            Message::Subscribe(Subscribe {
                subscription: String::new(),
                token: token(),
                secrets: Vec::new(),
                pod_uid: String::new(),
            }),
            Message::RenewToken(RenewToken {
                subscription: String::new(),
                token: token(),
            }),
        ];
        for message in messages {
            let said = format!(
                "{:?}",
                NodeMessage {
                    message: Some(message)
                }
            );
            assert!(!said.contains("MARKER"), "{said}");
        }
        let value = Value {
            keys: vec![Key {
                name: "password".into(),
                value: b"MARKER".to_vec(),
            }],
            ..Value::default()
        };
        let said = format!(
            "{:?}",
            GatewayMessage {
                message: Some(gateway_message::Message::Value(value))
            }
        );
        assert!(said.contains("password, 6 bytes"), "{said}");
        // "MARKER" as a list of numbers.
        assert!(!said.contains("MARKER") && !said.contains("77, 65"), "{said}");
    }
}
