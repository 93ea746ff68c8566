//! The release service as a process, with a real NATS, registry and database. There is no planner:
//! a deployment that was asked for stays asked for.

mod deliveries;
mod hooks;
mod on_the_bus;
mod page;
mod registries;
mod stage;
mod together;
