//! `wm-server deliver`: messages from files, on the way that mail from outside takes.

use std::process::ExitCode;

use serde::Serialize;
use wm_core::Limits;

use crate::cli::Deliver;
use crate::config::Options;
use crate::data_dir::DataDir;
use crate::messages::Sources;
use crate::progress;
use crate::services::Reached;

/// What became of the messages.
#[derive(Debug, Default, Serialize)]
struct Outcome {
    delivered: u64,
    refused: Vec<Refused>,
}

#[derive(Debug, Serialize)]
struct Refused {
    message: String,
    /// As an SMTP reply.
    reason: String,
}

/// Delivers the messages in order, each before the next; fails when one was refused.
pub(crate) async fn run(command: Deliver, options: &Options) -> anyhow::Result<ExitCode> {
    let sources = Sources::find(&command.files)?;
    let data_dir = DataDir::existing(options.data_dir())?;
    let mut server = Reached::reach(&data_dir, options).await?;
    let limit = usize::try_from(Limits::default().message_size)?;

    let progress = progress::bar(sources.octets(), command.json);
    let mut outcome = Outcome::default();
    for found in sources.messages(limit) {
        let found = found?;
        let delivered = match &found.content {
            Some(content) => server.deliver(&command.to, content).await?,
            None => Err(format!(
                "552 5.3.4 The message is larger than {limit} octets"
            )),
        };
        match delivered {
            Ok(_) => outcome.delivered += 1,
            Err(reason) => {
                let message = found.origin;
                if !command.json {
                    progress.suspend(|| eprintln!("{message}: {reason}"));
                }
                outcome.refused.push(Refused { message, reason });
            }
        }
        progress.inc(found.read);
        progress.set_message(format!("{} delivered", outcome.delivered));
    }
    progress.finish_and_clear();
    server.close()?;

    if command.json {
        println!("{}", serde_json::to_string_pretty(&outcome)?);
    } else {
        println!(
            "{} delivered to {}, {} refused",
            outcome.delivered,
            command.to,
            outcome.refused.len()
        );
    }
    Ok(if outcome.refused.is_empty() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    })
}
