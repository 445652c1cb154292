//! Prints one decision per line, so that the engine can be compared with any other model of the rules:
//! `cargo run --release -p wm-rules --example evaluate -- [--precedence listed|restrictive] RULES.json < cases.jsonl`
//!
//! A case is `{"direction":"inbound","sender":"a@b.example","from":["…"]}` or
//! `{"direction":"outbound","sender":null,"from":["…"],"recipients":["…"]}`. An address that does not parse counts as
//! absent in a header (FLW-5) and is an error as a recipient. The limits of FLW-8 do not apply here.

use std::error::Error;
use std::io::{BufRead, BufWriter, Write};

use serde::{Deserialize, Serialize};
use wm_core::{EmailAddress, Limits};
use wm_rules::{
    Decision, Direction, Draft, Header, InboundAction, Matcher, OutboundAction, Precedence, Rule,
    RuleSet,
};

const USAGE: &str = "usage: evaluate [--precedence listed|restrictive] RULES.json < cases.jsonl";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Case {
    direction: Direction,
    sender: Option<String>,
    #[serde(default)]
    from: Vec<String>,
    #[serde(default)]
    recipients: Vec<String>,
}

fn main() -> Result<(), Box<dyn Error>> {
    let (file, precedence) = arguments()?;
    let draft: Draft = serde_json::from_str(&std::fs::read_to_string(file)?)?;
    let limits = Limits {
        patterns_per_rule: usize::MAX,
        recipient_patterns_per_rule: usize::MAX,
        patterns_per_organization: RuleSet::MAX_PATTERNS,
        ..Limits::default()
    };
    let matcher = draft.check(&limits)?.compile_with(precedence);

    let mut output = BufWriter::new(std::io::stdout().lock());
    for (number, line) in (1..).zip(std::io::stdin().lock().lines()) {
        let decision = serde_json::from_str(&line?)
            .map_err(Into::into)
            .and_then(|case| decide(&matcher, case))
            .map_err(|error| format!("line {number}: {error}"))?;
        writeln!(output, "{decision}")?;
    }
    output.flush()?;
    Ok(())
}

fn arguments() -> Result<(String, Precedence), Box<dyn Error>> {
    let (mut file, mut precedence) = (None, Precedence::default());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        if argument == "--precedence" {
            precedence = match arguments.next().as_deref() {
                Some("listed") => Precedence::Listed,
                Some("restrictive") => Precedence::Restrictive,
                _ => return Err(USAGE.into()),
            };
        } else if file.replace(argument).is_some() {
            return Err(USAGE.into());
        }
    }
    Ok((file.ok_or(USAGE)?, precedence))
}

/// What is printed for a case; the keys keep this order.
#[derive(Serialize)]
#[serde(untagged)]
enum Decided {
    Inbound(Verdict<InboundAction>),
    Outbound { recipients: Vec<ForRecipient> },
}

#[derive(Serialize)]
struct ForRecipient {
    recipient: String,
    #[serde(flatten)]
    verdict: Verdict<OutboundAction>,
}

#[derive(Serialize)]
struct Verdict<A> {
    action: A,
    rule: Option<String>,
    header: Option<Header>,
}

fn decide(matcher: &Matcher, case: Case) -> Result<String, Box<dyn Error>> {
    let sender: Option<EmailAddress> = case.sender.and_then(|it| it.parse().ok());
    let from: Vec<EmailAddress> = case.from.iter().filter_map(|it| it.parse().ok()).collect();
    let decided = match case.direction {
        Direction::Inbound => {
            Decided::Inbound(verdict(&matcher.evaluate_inbound(sender.as_ref(), &from)))
        }
        Direction::Outbound => {
            let parse = |text: &String| {
                text.parse::<EmailAddress>()
                    .map_err(|error| format!("recipient {text:?}: {error}"))
            };
            let recipients = case
                .recipients
                .iter()
                .map(parse)
                .collect::<Result<Vec<_>, _>>()?;
            let decisions = matcher.evaluate_outbound(sender.as_ref(), &from, &recipients);
            let decided = decisions
                .zip(&case.recipients)
                .map(|((_, it), written)| ForRecipient {
                    recipient: written.clone(),
                    verdict: verdict(&it),
                });
            Decided::Outbound {
                recipients: decided.collect(),
            }
        }
    };
    Ok(serde_json::to_string(&decided)?)
}

fn verdict<R: Rule>(decision: &Decision<'_, R>) -> Verdict<R::Action> {
    Verdict {
        action: decision.action().clone(),
        rule: decision.rule().map(|rule| rule.id().to_owned()),
        header: decision.header(),
    }
}
