//! The executor as a process, with a real NATS, Docker engine, registry and database. The tests play
//! the planner: they ring, and read the log.

mod absent;
mod files;
mod http;
mod images;
mod job;
mod network;
mod options;
mod pull;
mod replace;
mod run;
mod script;
mod server;
mod simulated;
mod sql;
mod stage;
mod survive;
mod wait;
