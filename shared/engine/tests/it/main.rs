//! Tests of the pure core against its boundary: requests in, decisions and views out.

#![expect(clippy::unwrap_used, reason = "a test that panics says what is wrong")]

mod calling;
mod compiling;
mod conditions;
mod containers;
mod damage;
mod deciding;
mod demo;
mod fixture;
mod freezing;
mod golden;
mod keeping;
mod limits;
mod mutants;
mod ranges;
mod retention;
mod rolling;
mod scoping;
mod scripts;
mod series;
mod series_plans;
mod sharing;
mod simulation;
mod voting;
mod world;
mod yielding;
