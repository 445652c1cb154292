//! `wm-server`: a mail server for one machine, and the place where every wm crate meets.
//!
//! Each file has one subject: the command line ([`cli`]) and settings ([`config`]); what a first
//! start makes ([`setup`], [`tls`]); what serving is made of ([`serve`], [`listen`], [`shutdown`],
//! [`control`], [`jobs`]); and the other subcommands ([`deliver`], [`check`], [`export`], [`import`],
//! [`repair`], [`domain`]).

mod check;
mod cli;
mod config;
mod control;
mod data_dir;
mod deliver;
mod domain;
mod export;
mod imap;
mod import;
mod jobs;
mod listen;
mod messages;
mod progress;
mod repair;
mod serve;
mod services;
mod setup;
mod shutdown;
mod smtp;
mod source;
mod tls;

use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::run() {
        Ok(code) => code,
        Err(error) => {
            eprintln!("wm-server: {error:#}");
            ExitCode::FAILURE
        }
    }
}
