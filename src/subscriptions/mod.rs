//! WHO IS TOLD: people and programs that want to hear of incidents, by mail and by webhook.
//!
//! [`desk`] is where they ask for it, behind the forms of the status page.

pub mod desk;
