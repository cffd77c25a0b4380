//! The CustomResourceDefinitions of all kinds, as objects and as YAML.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::{
    CustomResourceDefinition, JSON, JSONSchemaProps, JSONSchemaPropsOrArray, JSONSchemaPropsOrBool,
    ValidationRule,
};
use kube::CustomResourceExt;

use crate::v1alpha1::{EncryptionKey, ManagedSecret, RotationSchedule, SecretPolicy, SecretProduct};

/// A definition could not be printed.
#[derive(Debug)]
pub struct YamlError(serde_saphyr::ser_error::Error);

impl std::fmt::Display for YamlError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "failed to print a CustomResourceDefinition: {}", self.0)
    }
}

impl std::error::Error for YamlError {}

/// The definition of every kind.
#[must_use]
pub fn all() -> Vec<CustomResourceDefinition> {
    [
        EncryptionKey::crd(),
        ManagedSecret::crd(),
        RotationSchedule::crd(),
        SecretPolicy::crd(),
        SecretProduct::crd(),
    ]
    .into_iter()
    .map(complete)
    .collect()
}

/// The definition of every kind as one YAML stream, ready for `kubectl apply -f -`.
///
/// # Errors
/// If a definition cannot be printed, which the tests exclude for the definitions of this crate.
pub fn yaml() -> Result<String, YamlError> {
    let mut stream = String::new();
    for definition in all() {
        stream.push_str("---\n");
        stream.push_str(&definition_yaml(&definition)?);
    }
    Ok(stream)
}

/// One definition as a YAML document.
///
/// # Errors
/// As [`yaml`].
pub fn definition_yaml(definition: &CustomResourceDefinition) -> Result<String, YamlError> {
    serde_saphyr::to_string(definition).map_err(YamlError)
}

/// Adds what the derive cannot say.
fn complete(mut definition: CustomResourceDefinition) -> CustomResourceDefinition {
    for version in &mut definition.spec.versions {
        if let Some(root) = version
            .schema
            .as_mut()
            .and_then(|schema| schema.open_api_v3_schema.as_mut())
        {
            visit(root, &mut |schema| {
                unwrap_description(schema);
                choose_by_rule(schema);
                known_format(schema);
            });
            if let Some(status) = root
                .properties
                .as_mut()
                .and_then(|properties| properties.get_mut("status"))
            {
                default_status(status);
            }
        }
    }
    definition
}

fn visit(schema: &mut JSONSchemaProps, change: &mut dyn FnMut(&mut JSONSchemaProps)) {
    change(schema);
    for property in schema
        .properties
        .iter_mut()
        .flat_map(|properties| properties.values_mut())
    {
        visit(property, change);
    }
    match &mut schema.items {
        Some(JSONSchemaPropsOrArray::Schema(items)) => visit(items, change),
        Some(JSONSchemaPropsOrArray::Schemas(items)) => items.iter_mut().for_each(|item| visit(item, change)),
        None => {}
    }
    if let Some(JSONSchemaPropsOrBool::Schema(values)) = &mut schema.additional_properties {
        visit(values, change);
    }
}

/// An object that the controller has not seen yet must not look ready: tools compare
/// `status.observedGeneration` with `metadata.generation`, and -1 is never equal to it.
fn default_status(status: &mut JSONSchemaProps) {
    status.default = Some(JSON(serde_json::json!({"observedGeneration": -1})));
    status.nullable = None;
}

/// Joins the lines of each paragraph: line ends of the source are not meant for `kubectl explain`.
fn unwrap_description(schema: &mut JSONSchemaProps) {
    if let Some(description) = &mut schema.description {
        let paragraphs: Vec<String> = description
            .split("\n\n")
            .map(|text| text.replace('\n', " "))
            .collect();
        *description = paragraphs.join("\n\n");
    }
}

/// A number without a sign: Kubernetes knows no format for it, and warns at every apply. The next larger one
/// with a sign holds all of them.
fn known_format(schema: &mut JSONSchemaProps) {
    if let Some(format) = &mut schema.format
        && let Some(signed) = match format.as_str() {
            "uint8" | "uint16" => Some("int32"),
            "uint32" => Some("int64"),
            _ => None,
        }
    {
        signed.clone_into(format);
    }
}

/// Turns the `oneOf` of an enum into a CEL rule. A failed `oneOf` does not say what to choose from, and keeps
/// the API server from evaluating any rule that would.
fn choose_by_rule(schema: &mut JSONSchemaProps) {
    let Some(variants) = schema.one_of.take() else {
        return;
    };
    let names: Vec<String> = variants
        .into_iter()
        .flat_map(|variant| variant.required.unwrap_or_default())
        .collect();
    let set: Vec<String> = names
        .iter()
        .map(|name| format!("has(self.{})", cel_field(name)))
        .collect();
    let rule = ValidationRule {
        rule: format!("[{}].exists_one(set, set)", set.join(", ")),
        message: Some(format!("set exactly one of: {}", names.join(", "))),
        ..ValidationRule::default()
    };
    schema
        .x_kubernetes_validations
        .get_or_insert_default()
        .insert(0, rule);
}

/// The name of a field in a CEL rule: reserved words are escaped
/// (<https://kubernetes.io/docs/reference/using-api/cel/#escaping>).
fn cel_field(name: &str) -> String {
    const RESERVED: [&str; 18] = [
        "true",
        "false",
        "null",
        "in",
        "as",
        "break",
        "const",
        "continue",
        "else",
        "for",
        "function",
        "if",
        "import",
        "let",
        "loop",
        "package",
        "namespace",
        "return",
    ];
    if RESERVED.contains(&name) {
        format!("__{name}__")
    } else {
        name.to_owned()
    }
}
