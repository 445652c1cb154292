//! What patterns match, how they are written, and what is wrong with those that are refused (FLW-3, FLW-4).
#![allow(clippy::unwrap_used, missing_docs)]

use wm_rules::Pattern;

fn matches(pattern: &str, address: &str) -> bool {
    pattern
        .parse::<Pattern>()
        .unwrap()
        .matches(&address.parse().unwrap())
}

fn error(text: &str) -> String {
    text.parse::<Pattern>().unwrap_err().to_string()
}

#[test]
fn a_wildcard_matches_on_label_boundaries_only() {
    assert!(matches("*example.com", "a@example.com"));
    assert!(matches("*example.com", "a@x.sub.example.com"));
    assert!(!matches("*example.com", "a@notexample.com"));
    assert!(!matches("example.com", "a@sub.example.com"));
    assert_eq!("*.example.com".parse::<Pattern>(), "*example.com".parse());
}

#[test]
fn case_quotes_and_the_spelling_of_domains_do_not_matter() {
    assert!(matches("USER@Example.COM", "user@example.com"));
    assert!(matches("\"User\"@example.com", "user@example.com"));
    assert!(matches(
        "\"j smith\"@example.com",
        "\"J Smith\"@example.com"
    ));
    assert!(matches("*Bücher.example", "a@post.xn--bcher-kva.example"));
    assert!(matches("xn--bcher-kva.example", "a@BÜCHER.example"));
}

#[test]
fn errors_name_the_position() {
    let long = format!("*{}.example", "a".repeat(64));
    for (text, at) in [
        ("", 0),
        ("example.com.", 11),
        ("*example.com.", 12),
        ("*example..com", 9),
        ("*..com", 2),
        (long.as_str(), 1),
        ("**example.com", 1),
        ("*example*.com", 8),
        ("ex*ample.com", 2),
        ("example.com*", 11),
        ("user@*example.com", 5),
        ("*@example.com", 0),
    ] {
        let refused = text.parse::<Pattern>().unwrap_err();
        assert_eq!(refused.position(), at, "{text:?}: {refused}");
    }
    assert_eq!(error("*a*"), "second wildcard at byte 2");
    assert_eq!(error("a*"), "wildcard not in front at byte 1");
    assert_eq!(error("a..b"), "empty label at byte 2");
}

#[test]
fn what_is_written_parses_back() {
    for text in [
        "*",
        "*.Bücher.example",
        "a.b",
        "\"*\"@a.example",
        "\"j smith\"@A.example",
    ] {
        let pattern: Pattern = text.parse().unwrap();
        assert_eq!(pattern.to_string().parse::<Pattern>().unwrap(), pattern);
        let json = serde_json::to_string(&pattern).unwrap();
        assert_eq!(serde_json::from_str::<Pattern>(&json).unwrap(), pattern);
    }
}
