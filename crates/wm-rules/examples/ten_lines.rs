//! The engine alone, in ten lines: `cargo add wm-rules wm-core serde_json`.

use wm_core::EmailAddress;
use wm_rules::RuleSet;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rules: RuleSet = serde_json::from_str(
        r#"{"inbound": [{"id": "r1", "sender_patterns": ["*lottery.example"], "action": "Drop"}]}"#,
    )?;
    let matcher = rules.compile();
    let from: [EmailAddress; 1] = ["win@mail.lottery.example".parse()?];
    println!("{}", matcher.evaluate_inbound(None, &from).explain());
    Ok(())
}
