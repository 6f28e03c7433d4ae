//! WHERE A CLIENT IS: places and distances, the database that knows them, and the tool that builds it.

pub mod place;
pub mod countries;
mod overrides;
mod record;
pub mod database;
pub mod map;
pub mod build;
