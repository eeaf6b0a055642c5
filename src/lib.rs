//! A safe place for Terraform and OpenTofu state, and a keeper for it.

pub mod config;
pub mod names;
