//! Tests of the pure core against its boundary: requests in, decisions and views out.

mod compiling;
mod deciding;
mod fixture;
mod simulation;
mod world;
