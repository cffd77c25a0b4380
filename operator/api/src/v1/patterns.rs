//! The grammar of names as the OpenAPI document tells it. The store's own types are what is checked.

pub use strongroom_model::SECRET_NAME_PATTERN;

/// What a label of an object, without a prefix, is, and its value.
pub const LABEL_PATTERN: &str = "^[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$";
/// What the name of a namespace or of an EncryptionKey is.
pub const DNS_LABEL_PATTERN: &str = "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$";
/// What the id of a version is, and a stage.
pub const VERSION_ID_PATTERN: &str = "^[-A-Za-z0-9_.]{1,64}$";
/// What bytes in base64 are.
pub const BASE64_PATTERN: &str = "^([A-Za-z0-9+/]{4})*([A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?$";
