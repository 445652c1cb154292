//! Any text is a pattern or refused at a place inside it. A pattern is written as a text that parses to an equal one,
//! also as JSON, and matches what it names.
#![no_main]

use libfuzzer_sys::fuzz_target;
use wm_core::EmailAddress;
use wm_rules::{Pattern, Specificity};

fuzz_target!(|text: &str| {
    let pattern: Pattern = match text.parse() {
        Ok(pattern) => pattern,
        Err(error) => {
            assert!(error.position() <= text.len(), "{error}");
            assert!(text.is_char_boundary(error.position()), "{error}");
            return;
        }
    };
    let written = pattern.to_string();
    let again: Pattern = written.parse().expect("what is written parses");
    assert_eq!(again, pattern);
    assert_eq!(again.to_string(), written);
    let json = serde_json::to_string(&pattern).expect("a string");
    assert_eq!(
        serde_json::from_str::<Pattern>(&json).expect("what is written parses"),
        pattern
    );

    let near = match &pattern {
        Pattern::Address(address) => Some(address.clone()),
        Pattern::Domain(domain) | Pattern::Wildcard(domain) => format!("x@{domain}").parse().ok(),
        Pattern::Star => None,
    };
    assert!(near.is_none_or(|address: EmailAddress| pattern.matches(&address)));
    if let Pattern::Wildcard(domain) = &pattern {
        assert_eq!(
            pattern.specificity(),
            Specificity::Wildcard(domain.as_ascii().len() as u8)
        );
        let glued = format!("x@y{domain}").parse();
        assert!(glued.map_or(true, |address: EmailAddress| !pattern.matches(&address)));
    }
});
