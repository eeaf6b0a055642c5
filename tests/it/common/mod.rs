//! What the tests are written with: an environment of one's own, and the binaries of Terraform and OpenTofu.

mod engine;
mod output;
mod process;
mod test_env;
mod world;

pub(crate) use engine::{Engine, engines_or_skip, lockfile_engines_or_skip};
pub(crate) use output::Output;
pub(crate) use process::{Process, Program};
pub(crate) use test_env::TestEnv;
pub(crate) use world::differences;
