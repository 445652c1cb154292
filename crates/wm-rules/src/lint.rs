use std::collections::{HashMap, HashSet};
use std::fmt;

use serde::{Deserialize, Serialize};
use wm_core::EmailAddress;

use crate::{
    Direction, InboundAction, InboundRule, Matcher, OutboundAction, OutboundRule, Pattern,
    Precedence, Rule, RuleSet, Side,
};

/// What in the rules has no effect, or less than its author may think: rules and patterns that never apply because others
/// always win, and exceptions that a more specific rule overrides for some addresses. Each comes with an example.
///
/// Rules are judged by the [`Matcher`] for one address out of each of their patterns, which no more specific pattern of
/// any rule matches. Of a pattern without such an address, as a name of 253 octets leaves no room for one, nothing is said.
///
/// ```
/// use wm_rules::{Precedence, RuleSet, lint};
///
/// let rules: RuleSet = serde_json::from_str(r#"{"inbound": [
///     {"id": "r1", "sender_patterns": ["news.partner.example"], "action": "Drop"},
///     {"id": "r2", "sender_patterns": ["*partner.example"], "action": "NeverDeliverToJunk"},
///     {"id": "r3", "sender_patterns": ["*.Partner.example"], "action": {"RunLambda": {"target": "archive"}}}
/// ]}"#)?;
/// let lints: Vec<String> = lint(&rules, Precedence::Listed).iter().map(ToString::to_string).collect();
/// assert_eq!(lints, [
///     "inbound rule \"r3\" never applies: rule \"r2\" decides, for example about mail from someone@mail.partner.example",
///     "inbound rule \"r2\" is an exception that the more specific rule \"r1\" overrides, for example about mail from \
///      someone@news.partner.example",
/// ]);
/// # Ok::<(), serde_json::Error>(())
/// ```
pub fn lint(rules: &RuleSet, precedence: Precedence) -> Vec<Lint> {
    let matcher = rules.compile_with(precedence);
    let mut lints = Vec::new();
    run(rules.inbound(), &matcher, &mut lints);
    run(rules.outbound(), &matcher, &mut lints);
    lints
}

fn run<R: Linted>(rules: &[R], matcher: &Matcher, lints: &mut Vec<Lint>) {
    let recipients = rules.iter().filter_map(Rule::recipient_patterns);
    let linter = Linter {
        rules,
        matcher,
        senders: &Samples::new(rules.iter().flat_map(Rule::sender_patterns)),
        recipients: &Samples::new(recipients.flatten()),
    };
    linter.run(lints);
}

/// Something in a rule that has no effect, or less than its author may think.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Lint {
    /// Which list the rule is in.
    pub direction: Direction,
    /// The rule's id.
    pub rule: String,
    /// What is the matter with it.
    pub kind: LintKind,
    /// An address that the rule matches as Sender, to show what is meant.
    pub sender: EmailAddress,
    /// The recipient to it that the rule matches too; none inbound.
    pub recipient: Option<EmailAddress>,
    /// The id of the rule that decides about this example.
    pub winner: String,
}

/// What is the matter with a rule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub enum LintKind {
    /// The rule can never apply: other rules have its patterns too, and win by their action or id (FLW-7).
    NeverApplies,
    /// The rule applies, but never by this pattern: other rules have it too, and win by their action or id (FLW-7).
    PatternNeverApplies {
        /// Which patterns of the rule it is among.
        side: Side,
        /// The pattern.
        pattern: Pattern,
    },
    /// The rule has the pattern more than once, perhaps in several spellings.
    DuplicatePattern {
        /// Which patterns of the rule it is among.
        side: Side,
        /// The pattern.
        pattern: Pattern,
    },
    /// The rule lets mail pass (Default, or Never deliver to junk folder), as an exception to broader rules. A more
    /// specific rule that drops or bounces overrides it (FLW-6). A rule for `*` alone is no exception.
    ExceptionOverridden,
}

/// One line.
impl fmt::Display for Lint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            direction,
            rule,
            sender,
            winner,
            ..
        } = self;
        write!(f, "{direction} rule {rule:?} ")?;
        match &self.kind {
            LintKind::NeverApplies => write!(f, "never applies: rule {winner:?} decides")?,
            LintKind::PatternNeverApplies { side, pattern } => write!(
                f,
                "never applies by its {side} pattern {pattern}: rule {winner:?} decides"
            )?,
            LintKind::DuplicatePattern { side, pattern } => {
                return write!(f, "has the {side} pattern {pattern} more than once");
            }
            LintKind::ExceptionOverridden => write!(
                f,
                "is an exception that the more specific rule {winner:?} overrides"
            )?,
        }
        write!(f, ", for example about mail from {sender}")?;
        match &self.recipient {
            Some(recipient) => write!(f, " to {recipient}"),
            None => Ok(()),
        }
    }
}

/// What the linter has to know of the rules of a direction.
trait Linted: Rule {
    /// The rule that decides.
    fn winner<'a>(
        matcher: &'a Matcher,
        sender: &'a EmailAddress,
        recipient: Option<&'a EmailAddress>,
    ) -> Option<&'a Self>;

    /// Whether mail does not arrive.
    fn blocks(&self) -> bool;

    /// Whether mail arrives as if there were no rule, or better.
    fn passes(&self) -> bool;
}

impl Linted for InboundRule {
    fn winner<'a>(
        matcher: &'a Matcher,
        sender: &'a EmailAddress,
        _: Option<&'a EmailAddress>,
    ) -> Option<&'a Self> {
        matcher.evaluate_inbound(Some(sender), &[]).rule()
    }

    fn blocks(&self) -> bool {
        matches!(self.action, InboundAction::Drop | InboundAction::Bounce)
    }

    fn passes(&self) -> bool {
        matches!(
            self.action,
            InboundAction::Default | InboundAction::NeverDeliverToJunk
        )
    }
}

impl Linted for OutboundRule {
    fn winner<'a>(
        matcher: &'a Matcher,
        sender: &'a EmailAddress,
        recipient: Option<&'a EmailAddress>,
    ) -> Option<&'a Self> {
        let mut decisions = matcher.evaluate_outbound(Some(sender), &[], recipient);
        decisions.next()?.1.rule()
    }

    fn blocks(&self) -> bool {
        matches!(
            self.action,
            OutboundAction::Drop | OutboundAction::BounceToSender
        )
    }

    fn passes(&self) -> bool {
        matches!(self.action, OutboundAction::Default)
    }
}

struct Linter<'a, R> {
    rules: &'a [R],
    matcher: &'a Matcher,
    senders: &'a Samples<'a>,
    recipients: &'a Samples<'a>,
}

/// A message that a rule matches, and the rule that decides about it.
#[derive(Clone, Copy)]
struct Example<'a> {
    sender: &'a EmailAddress,
    recipient: Option<&'a EmailAddress>,
    winner: &'a str,
}

/// A pattern of a rule, and what became of it.
struct Use<'a> {
    side: Side,
    pattern: &'a Pattern,
    repeated: bool,
    /// Whether the rule wins by this pattern for some message, or that cannot be told.
    applies: bool,
    example: Option<Example<'a>>,
}

impl<'a, R: Linted> Linter<'a, R> {
    fn run(&self, lints: &mut Vec<Lint>) {
        for rule in self.rules {
            self.without_effect(rule, lints);
        }
        let (passing, blocking) = (
            || self.rules.iter().filter(|rule| rule.passes()),
            || self.rules.iter().filter(|rule| rule.blocks()),
        );
        for exception in passing() {
            let senders = exception.sender_patterns().iter().collect();
            let recipients = exception
                .recipient_patterns()
                .map(|it| it.iter().collect::<HashSet<_>>());
            let overridden = blocking()
                .filter_map(|block| self.overridden(&senders, recipients.as_ref(), block));
            lints.extend(
                overridden.map(|it| self.lint(exception, LintKind::ExceptionOverridden, it)),
            );
        }
    }

    fn without_effect(&self, rule: &'a R, lints: &mut Vec<Lint>) {
        let mut senders = uses(Side::Sender, rule.sender_patterns());
        let mut recipients = uses(
            Side::Recipient,
            rule.recipient_patterns().unwrap_or_default(),
        );
        for sender in &mut senders {
            match rule.recipient_patterns() {
                None => sender.record(rule, self.example(sender.pattern, None)),
                Some(_) => {
                    for recipient in &mut recipients {
                        // Whatever happens here, both are known to have an effect.
                        if !(sender.applies && recipient.applies) {
                            let example = self.example(sender.pattern, Some(recipient.pattern));
                            sender.record(rule, example);
                            recipient.record(rule, example);
                        }
                    }
                }
            }
        }
        let never = senders.iter().all(|it| !it.applies);
        if let Some(example) = senders.iter().find_map(|it| it.example.filter(|_| never)) {
            lints.push(self.lint(rule, LintKind::NeverApplies, example));
        }
        for it in senders.iter().chain(&recipients) {
            let Some(example) = it.example else { continue };
            let (side, pattern) = (it.side, it.pattern);
            if it.repeated {
                let pattern = pattern.clone();
                let kind = LintKind::DuplicatePattern { side, pattern };
                lints.push(self.lint(rule, kind, example));
            }
            if !it.applies && !never {
                let pattern = pattern.clone();
                let kind = LintKind::PatternNeverApplies { side, pattern };
                lints.push(self.lint(rule, kind, example));
            }
        }
    }

    /// A message that `block` decides about though it is one of the exception's, which is broader.
    fn overridden(
        &self,
        senders: &HashSet<&'a Pattern>,
        recipients: Option<&HashSet<&'a Pattern>>,
        block: &'a R,
    ) -> Option<Example<'a>> {
        let within = |broad: &HashSet<&'a Pattern>, patterns: &'a [Pattern]| -> Vec<_> {
            let pair = |pattern| Some((pattern, closest(broad, pattern)?));
            patterns.iter().filter_map(pair).collect()
        };
        let decided = |sender, recipient| {
            self.example(sender, recipient)
                .filter(|example| example.winner == block.id())
        };
        let senders = within(senders, block.sender_patterns());
        if senders.is_empty() {
            return None;
        }
        let Some((broad, narrow)) = recipients.zip(block.recipient_patterns()) else {
            let mut narrower = senders
                .iter()
                .filter(|(narrow, broad)| narrow != broad && **broad != Pattern::Star);
            return narrower.find_map(|(narrow, _)| decided(narrow, None));
        };
        let recipients = within(broad, narrow);
        senders.iter().find_map(|sender| {
            let mut narrower = recipients.iter().filter(|recipient| {
                let same = sender.0 == sender.1 && recipient.0 == recipient.1;
                let general = *sender.1 == Pattern::Star && *recipient.1 == Pattern::Star;
                !same && !general
            });
            narrower.find_map(|recipient| decided(sender.0, Some(recipient.0)))
        })
    }

    /// The samples of the patterns as a message.
    fn example(&self, sender: &Pattern, recipient: Option<&Pattern>) -> Option<Example<'a>> {
        let sender = self.senders.of(sender)?;
        let recipient = match recipient {
            Some(recipient) => Some(self.recipients.of(recipient)?),
            None => None,
        };
        let winner = R::winner(self.matcher, sender, recipient)?.id();
        Some(Example {
            sender,
            recipient,
            winner,
        })
    }

    fn lint(&self, rule: &R, kind: LintKind, example: Example<'_>) -> Lint {
        Lint {
            direction: R::DIRECTION,
            rule: rule.id().to_owned(),
            kind,
            sender: example.sender.clone(),
            recipient: example.recipient.cloned(),
            winner: example.winner.to_owned(),
        }
    }
}

fn uses(side: Side, patterns: &[Pattern]) -> Vec<Use<'_>> {
    let mut places = HashMap::new();
    let mut uses: Vec<Use<'_>> = Vec::new();
    for pattern in patterns {
        let place = *places.entry(pattern).or_insert(uses.len());
        match uses.get_mut(place) {
            Some(first) => first.repeated = true,
            None => uses.push(Use {
                side,
                pattern,
                repeated: false,
                applies: false,
                example: None,
            }),
        }
    }
    uses
}

impl<'a> Use<'a> {
    fn record(&mut self, rule: &impl Rule, example: Option<Example<'a>>) {
        self.applies |= example.is_none_or(|it| it.winner == rule.id());
        self.example = self.example.or(example);
    }
}

/// For each pattern an address that it matches and no more specific one does.
struct Samples<'a>(HashMap<&'a Pattern, Option<EmailAddress>>);

impl<'a> Samples<'a> {
    fn new(patterns: impl Iterator<Item = &'a Pattern>) -> Self {
        let patterns: HashSet<_> = patterns.collect();
        let samples = patterns.iter().map(|it| (*it, sample(&patterns, it)));
        Self(samples.collect())
    }

    fn of(&self, pattern: &Pattern) -> Option<&EmailAddress> {
        self.0.get(pattern)?.as_ref()
    }
}

fn sample(patterns: &HashSet<&Pattern>, pattern: &Pattern) -> Option<EmailAddress> {
    // Every pattern can stand in the way of one number. What does not parse is too long.
    let first = |write: &dyn Fn(&str) -> String| {
        let numbers =
            std::iter::once(String::new()).chain((1..=patterns.len()).map(|n| n.to_string()));
        numbers
            .map_while(|number| write(&number).parse().ok())
            .find(|address: &EmailAddress| {
                closest(patterns, &Pattern::Address(address.clone())) == Some(pattern)
            })
    };
    match pattern {
        Pattern::Address(address) => Some(address.clone()),
        Pattern::Domain(domain) => first(&|n| format!("someone{n}@{domain}"))
            .or_else(|| first(&|n| format!("x{n}@{domain}"))),
        Pattern::Wildcard(domain) => first(&|n| format!("someone@mail{n}.{domain}"))
            .or_else(|| first(&|n| format!("x@x{n}.{domain}")))
            .or_else(|| first(&|n| format!("x{n}@{domain}"))),
        Pattern::Star => first(&|n| format!("someone@elsewhere{n}.example"))
            .or_else(|| first(&|n| format!("someone@elsewhere.example{n}"))),
    }
}

/// The most specific of the patterns that match whatever the given one matches.
fn closest<'a>(patterns: &HashSet<&'a Pattern>, pattern: &Pattern) -> Option<&'a Pattern> {
    std::iter::successors(Some(pattern.clone()), broader).find_map(|it| patterns.get(&it).copied())
}

fn broader(pattern: &Pattern) -> Option<Pattern> {
    match pattern {
        Pattern::Address(address) => Some(Pattern::Domain(address.domain().clone())),
        Pattern::Domain(domain) => Some(Pattern::Wildcard(domain.clone())),
        Pattern::Wildcard(domain) => Some(domain.parent().map_or(Pattern::Star, Pattern::Wildcard)),
        Pattern::Star => None,
    }
}
