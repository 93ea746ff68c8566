//! The stories. One file per story of a user, or per promise that must hold whatever happens.

mod approval;
mod architecture;
mod archive;
mod bad_input;
mod canary;
mod chaos;
mod cluster;
mod crashes;
mod damage;
mod engine_restart;
mod examples;
mod failing_release;
mod failpoints;
mod full;
mod lanes;
mod lost_tail;
mod main_story;
mod progression;
mod rolling_restart;
mod secrets;
mod sharing;
mod shutdown;
mod slack_approval;
mod sudden_nats;
mod tracing_story;
mod zombies;
