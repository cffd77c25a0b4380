//! The macros that declare metrics. They are macros by example: a derive would be one more crate, and that of
//! `prometheus-client` knows labels alone.

/// A struct of metrics, each with its name in the registry; the doc of the field is its meaning there. A
/// field without a name is no metric, and begins as its default. The struct gets a function `register`.
///
/// ```text
/// metrics! {
///     /// What is counted of letters.
///     pub struct LetterMetrics {
///         /// Letters that arrived.
///         arrived: Counter = "letters",
///     }
/// }
/// ```
#[macro_export]
macro_rules! metrics {
    (@add $registry:ident, $metrics:ident, $field:ident, [$($doc:literal),+], $metric:literal) => {
        $registry.add($metric, concat!($($doc),+), &$metrics.$field)
    };
    (@add $registry:ident, $metrics:ident, $field:ident, [$($doc:literal),+]) => {};
    (
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[doc = $doc:literal])+ $field_visibility:vis $field:ident: $type:ty $(= $metric:literal)?,)+
        }
    ) => {
        $(#[$attribute])*
        #[derive(Debug, Default)]
        $visibility struct $name {
            $($(#[doc = $doc])+ $field_visibility $field: $type,)+
        }

        impl $name {
            /// Makes the metrics and adds them to the registry.
            $visibility fn register(registry: &mut $crate::MetricRegistry) -> Self {
                let metrics = Self::default();
                $($crate::metrics!(@add registry, metrics, $field, [$($doc),+] $(, $metric)?);)+
                metrics
            }
        }
    };
}

/// Label sets of metrics; the names of their fields are those of the labels.
#[macro_export]
macro_rules! labels {
    ($(
        $(#[$attribute:meta])*
        $visibility:vis struct $name:ident {
            $($(#[$field_attribute:meta])* $field:ident: $type:ty,)+
        }
    )+) => {$(
        $(#[$attribute])*
        #[derive(Clone, Debug, PartialEq, Eq, Hash, ::prometheus_client::encoding::EncodeLabelSet)]
        $visibility struct $name {
            $($(#[$field_attribute])* $field: $type,)+
        }

        impl $crate::LabelNames for $name {
            const NAMES: &'static [&'static str] = &[$(stringify!($field)),+];
        }
    )+};
}
