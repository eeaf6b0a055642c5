//! underpin gives Terraform and OpenTofu a safe place to keep state, and looks after it.
//!
//! The modules stand in reading order, from the words that everything uses to the program that speaks to a person.
//! ARCHITECTURE.md has the map, and the way of an `apply` through it.

pub mod names;

pub mod config;

pub mod policy;

pub mod aws;

pub mod state;

pub mod resource;

pub mod engine;

pub mod files;

pub mod render;

pub mod backend;

pub mod cli;

pub mod error;

pub mod ui;

mod report;

mod commands;

pub use commands::run;
