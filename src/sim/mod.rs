//! THE SAME MACHINES WITHOUT SOCKETS: a world in virtual time, from one seed.
//!
//! `World` drives the machines that decide on real nodes (control, health, probe schedules, steering, the
//! course of a request, what DNS answers) through a [`Scenario`](scenario::Scenario): regions, ways between them, clients,
//! resolvers, operators, and what goes wrong. It tells everything that happens as [`Fact`](fact::Fact)s; whoever counts,
//! judges or draws only listens. Nothing here asks a clock, opens a socket or reads a file, so one number repeats a run.

pub mod asking;
pub mod chance;
pub mod cities;
pub mod distance;
pub mod draw;
pub mod fact;
pub mod node;
pub mod play;
pub mod programs;
pub mod quality;
pub mod queue;
pub mod record;
pub mod report;
pub mod request;
pub mod resolvers;
pub mod scenario;
pub mod shrink;
pub mod stage;
pub mod tally;
pub mod truth;
pub mod watch;
pub mod world;
