//! Schemas of the maps and names that more than one kind uses: every one is bounded, because the API server
//! counts the cost of a CEL rule from these bounds.

use schemars::{Schema, SchemaGenerator, json_schema};
use strongroom_model::SECRET_NAME_CLASS;

/// Pattern of a key in a Secret's data:
/// <https://kubernetes.io/docs/concepts/configuration/secret/#restriction-names-data>.
pub(super) const DATA_KEY: &str = "^[-._a-zA-Z0-9]+$";

/// Pattern of an object name, a DNS subdomain (RFC 1123).
pub(super) const OBJECT_NAME: &str = "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";

/// Pattern of names of secrets that may have these characters as well.
pub(super) fn secret_name_pattern(more: &str) -> String {
    format!("^[{SECRET_NAME_CLASS}{more}]+$")
}

/// Labels to put on a native Secret.
pub(super) fn label_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 63},
    })
}

/// Annotations to put on a native Secret.
pub(super) fn annotation_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 4096},
    })
}

/// Templates by the data key they fill.
pub(super) fn template_map(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 32,
        "additionalProperties": {"type": "string", "maxLength": 65536},
    })
}
