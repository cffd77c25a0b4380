//! Requests against the router, with the real store and the real policies; the API server is a table of
//! tokens.

mod api_server;
mod callers;
mod deletions;
mod delivery;
mod document;
mod explain;
mod extension_api;
mod full;
mod history;
mod keys;
mod listeners;
mod metadata;
mod objects;
mod products;
mod replay;
mod rotations;
mod sealed_values;
mod table;
mod values;
mod watches;
mod world;
mod writes;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::body::Body;
use axum::http::{Method, Request, Response, StatusCode};
use jiff::Timestamp;
use serde_json::{Value as Json, json};
use strongroom_model::SecretBytes;
use strongroom_model::id::SecretId;
use strongroom_rules::policy::Identity;
use strongroom_store::audit::{Actor, AuditOutcome, Entry};
use strongroom_store::value::Value;
use strongroom_store::vault::{DeleteSecret, Deletion, KeyRef, Meta, Quota};
use strongroom_testing::api_server::managed_fields::{self, Write};
use strongroom_testing::api_server::merge_patch as merged;
use strongroom_testing::store::{new_version, value_under as one};

use self::world::{TestAnswer, meta, record, sign};
pub(super) use self::world::{World, token};
use super::limits;
use super::listen::Peer;
use super::request::{AdmissionOutcome, Slot};
use crate::policies::ObservedPolicy;
