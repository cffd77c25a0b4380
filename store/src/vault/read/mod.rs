//! Reads. A value leaves only after its record is in the read chain; metadata leave without one.

mod audit;
mod keys;
mod namespaces;
mod objects;
mod products;
mod request;
mod secrets;
mod value;

pub use request::AuditNote;
pub use value::GetValue;
