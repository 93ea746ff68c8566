//! Bodies of the HTTP API, `/api/v1/…`, and of its errors. The CLI, the web page and other
//! people's programs read these.

mod access;
mod board;
mod deployments;
mod gates;
mod manifests;
mod plans;
mod problem;
mod pushes;
mod releases;
mod repair;
mod targets;
mod waiting;

pub use access::*;
pub use board::*;
pub use deployments::*;
pub use gates::*;
pub use manifests::*;
pub use plans::*;
pub use problem::*;
pub use pushes::*;
pub use releases::*;
pub use repair::*;
pub use targets::*;
pub use waiting::*;
