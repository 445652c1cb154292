use std::cmp::Reverse;
use std::collections::HashMap;
use std::sync::Arc;

use foldhash::fast::FixedState;
use smallvec::SmallVec;
use wm_core::EmailAddress;

use crate::decision::{Decision, Message};
use crate::index::{First, Index, NodeId, Rank};
use crate::{
    Action, Header, InboundDecision, InboundRule, OutboundDecision, OutboundRule, Pattern,
    Precedence, Rule, RuleSet, Specificity,
};

/// A [`RuleSet`] prepared for evaluation. It never changes.
///
/// A service keeps it in an [`Arc`] and replaces that when the rules change; the next message is then decided by the
/// new rules (FLW-9), and messages under way finish with the old ones:
///
/// ```
/// use std::sync::{Arc, RwLock};
/// use wm_rules::{Matcher, RuleSet};
///
/// let current = RwLock::new(Arc::new(RuleSet::default().compile()));
///
/// let matcher: Arc<Matcher> = Arc::clone(&current.read().unwrap()); // for each message
///
/// # let rules = RuleSet::default();
/// *current.write().unwrap() = Arc::new(rules.compile()); // for each change
/// ```
///
/// An evaluation takes one table look-up for the address, one for its domain and one for each parent domain that is as
/// long as some wildcard, however many rules there are. Outbound, each pair of matching sender and recipient patterns
/// is looked at in addition, and the lists of rules that have one or the other are intersected.
#[derive(Debug)]
pub struct Matcher {
    inbound: Ranked<InboundRule>,
    inbound_senders: Index,
    outbound: Ranked<OutboundRule>,
    outbound_senders: Index,
    outbound_recipients: Index,
}

/// The rules of one direction in order of precedence.
#[derive(Debug)]
pub(crate) struct Ranked<R> {
    pub(crate) rules: Arc<[R]>,
    pub(crate) precedence: Precedence,
    /// The places of the rules, best rank first.
    order: Box<[u32]>,
    /// In the same order, for each the place of the first that has the same action. There are few of those, which stay in
    /// a cache, where the rules themselves do not.
    same_action: Box<[u32]>,
}

impl Matcher {
    pub(crate) fn new(rules: &RuleSet, precedence: Precedence) -> Self {
        let inbound = Ranked::new(rules.shared_inbound(), precedence);
        let outbound = Ranked::new(rules.shared_outbound(), precedence);
        let star =
            |patterns: Option<&[Pattern]>| patterns.is_some_and(|it| it.contains(&Pattern::Star));
        Self {
            inbound_senders: Index::new(inbound.iter().map(Rule::sender_patterns), |_| true),
            outbound_senders: Index::new(outbound.iter().map(Rule::sender_patterns), |rank| {
                star(outbound.rule(rank).and_then(Rule::recipient_patterns))
            }),
            outbound_recipients: Index::new(
                outbound.iter().filter_map(Rule::recipient_patterns),
                |rank| star(outbound.rule(rank).map(Rule::sender_patterns)),
            ),
            inbound,
            outbound,
        }
    }

    /// Decides what happens to a message that comes in (FLW-5, FLW-6, FLW-7).
    ///
    /// `sender` is the address of the Sender header and `from` are those of the From header. A header that is absent or
    /// does not parse is `None` or empty. The decision holds for every recipient in the organization. Nothing is
    /// allocated.
    pub fn evaluate_inbound<'a>(
        &'a self,
        sender: Option<&'a EmailAddress>,
        from: &'a [EmailAddress],
    ) -> InboundDecision<'a> {
        let index = &self.inbound_senders;
        let found = match (sender, from) {
            (None, []) => index.star().map(|first| (None, first)),
            _ => sender
                .and_then(|sender| index.most_specific(sender))
                .map(|first| (Some(Header::Sender), first))
                .or_else(|| Some((Some(Header::From), self.inbound_from(from)?))),
        };
        let rank = found.and_then(|(_, first)| first.best_with_star);
        let header = found.and_then(|(header, _)| header);
        Decision::new(
            &self.inbound,
            Message {
                sender,
                from,
                recipient: None,
            },
            rank,
            header,
        )
    }

    /// Decides what happens to a message that goes out, for each recipient on its own (FLW-5, FLW-6, FLW-7).
    ///
    /// `sender` and `from` are as in [`evaluate_inbound`](Self::evaluate_inbound). The decisions come in the order of the
    /// recipients and are made one by one, as the iterator is asked for them. Nothing is allocated unless the addresses in
    /// `from` match more than 130 patterns.
    ///
    /// ```
    /// # use wm_core::EmailAddress;
    /// # use wm_rules::{OutboundAction, RuleSet};
    /// let rules: RuleSet = serde_json::from_str(r#"{"outbound": [
    ///     {"id": "o1", "sender_patterns": ["*"], "recipient_patterns": ["*rival.example"], "action": "BounceToSender"}
    /// ]}"#)?;
    /// let matcher = rules.compile();
    ///
    /// let from: [EmailAddress; 1] = ["ann@example.com".parse()?];
    /// let recipients: [EmailAddress; 2] = ["bob@example.org".parse()?, "eve@mail.rival.example".parse()?];
    /// let blocked: Vec<String> = matcher
    ///     .evaluate_outbound(None, &from, &recipients)
    ///     .filter(|(_, decision)| *decision.action() == OutboundAction::BounceToSender)
    ///     .map(|(recipient, _)| recipient.to_string())
    ///     .collect();
    /// assert_eq!(blocked, ["eve@mail.rival.example"]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn evaluate_outbound<'a>(
        &'a self,
        sender: Option<&'a EmailAddress>,
        from: &'a [EmailAddress],
        recipients: impl IntoIterator<Item = &'a EmailAddress>,
    ) -> impl Iterator<Item = (&'a EmailAddress, OutboundDecision<'a>)> {
        let index = &self.outbound_senders;
        let no_header = sender.is_none() && from.is_empty();
        let by_sender = Rows::new(index, sender.as_slice().iter().copied());
        let by_from = match no_header {
            true => Rows::of_chain(index, index.star()),
            false => Rows::new(index, from),
        };
        let from_header = (!no_header).then_some(Header::From);
        recipients.into_iter().map(move |recipient| {
            let first = self.outbound_recipients.most_specific(recipient);
            let by_sender = self
                .outbound_rank(&by_sender, first)
                .map(|rank| (rank, Some(Header::Sender)));
            let found =
                by_sender.or_else(|| Some((self.outbound_rank(&by_from, first)?, from_header)));
            let message = Message {
                sender,
                from,
                recipient: Some(recipient),
            };
            let (rank, header) = found.unzip();
            (
                recipient,
                Decision::new(&self.outbound, message, rank, header.flatten()),
            )
        })
    }

    /// Of several From addresses the one with the most specific match counts.
    fn inbound_from(&self, from: &[EmailAddress]) -> Option<First> {
        let index = &self.inbound_senders;
        if let [only] = from {
            return index.most_specific(only);
        }
        let matching = from
            .iter()
            .filter_map(|address| index.most_specific(address));
        matching.min_by_key(|first| {
            let specificity = index.node(first.id).specificity;
            (Reverse(specificity), first.best_with_star)
        })
    }

    /// The best ranked of the rules that no other rule beats in specificity, among those that have a sender pattern in
    /// `rows` and a recipient pattern in the chain of `recipient` (FLW-6).
    ///
    /// A pair of a sender and a recipient pattern that some rule has is beaten when another such pair is at least as
    /// specific in both and more so in one. A rule that is in an unbeaten pair has its best pattern on either side there.
    /// So it is enough to find the unbeaten pairs and the best ranked rule of each.
    fn outbound_rank(&self, rows: &Rows, recipient: Option<First>) -> Option<Rank> {
        let (senders, recipients) = (&self.outbound_senders, &self.outbound_recipients);
        let mut best: Option<Rank> = None;
        // The most specific recipient pattern of the pairs seen so far, whose sender patterns are the more specific ones:
        // what does not exceed it is beaten.
        let mut bound: Option<Specificity> = None;
        for row in rows.by_specificity(senders) {
            let (mut row_best, mut row_bound) = (None, bound);
            for &sender in row {
                let unbeaten = recipients.chain(recipient).take_while(|&id| {
                    let specificity = Some(recipients.node(id).specificity);
                    specificity > bound && specificity >= row_bound
                });
                let mut pairs =
                    unbeaten.filter_map(|id| Some((self.best_of_pair(sender, id)?, id)));
                if let Some((rank, id)) = pairs.next() {
                    let specificity = Some(recipients.node(id).specificity);
                    let tied = row_best.filter(|_| specificity == row_bound);
                    row_best = Some(tied.map_or(rank, |tied: Rank| tied.min(rank)));
                    row_bound = specificity;
                }
            }
            best = best.into_iter().chain(row_best).min();
            bound = row_bound;
        }
        best
    }

    /// The best ranked rule that has both patterns.
    fn best_of_pair(&self, sender: NodeId, recipient: NodeId) -> Option<Rank> {
        let (senders, recipients) = (&self.outbound_senders, &self.outbound_recipients);
        if senders.is_star(sender) {
            return recipients.node(recipient).best_with_star;
        }
        if recipients.is_star(recipient) {
            return senders.node(sender).best_with_star;
        }
        first_common(senders.rules(sender), recipients.rules(recipient))
    }
}

impl<R: Rule> Ranked<R> {
    fn new(rules: Arc<[R]>, precedence: Precedence) -> Self {
        let mut order: Vec<(u8, &str, u32)> = (0..)
            .zip(&*rules)
            .map(|(place, rule)| (rule.action().rank(precedence), rule.id(), place))
            .collect();
        order.sort_unstable();
        let order: Box<[u32]> = order.into_iter().map(|(.., place)| place).collect();
        let mut first_with = HashMap::with_hasher(FixedState::with_seed(0));
        let same_action = order.iter().map(|&place| {
            let action = rules.get(place as usize).map(Rule::action);
            *first_with.entry(action).or_insert(place)
        });
        Self {
            same_action: same_action.collect(),
            order,
            precedence,
            rules,
        }
    }

    pub(crate) fn action(&self, rank: Rank) -> Option<&R::Action> {
        let place = *self.same_action.get(rank.index())?;
        self.rules.get(place as usize).map(Rule::action)
    }

    pub(crate) fn rule(&self, rank: Rank) -> Option<&R> {
        self.rules.get(*self.order.get(rank.index())? as usize)
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &R> + Clone {
        self.order
            .iter()
            .filter_map(|&place| self.rules.get(place as usize))
    }
}

/// The sender patterns that match a header, the most specific first.
struct Rows(SmallVec<[NodeId; MAX_CHAIN]>);

/// The most patterns that can match one address: itself, its domain, 127 wildcards and the star.
const MAX_CHAIN: usize = 130;

impl Rows {
    fn new<'a>(index: &Index, addresses: impl IntoIterator<Item = &'a EmailAddress>) -> Self {
        let mut addresses = addresses.into_iter();
        let first = addresses
            .next()
            .and_then(|address| index.most_specific(address));
        let mut rows = Self::of_chain(index, first);
        let single = rows.0.len();
        for address in addresses {
            rows.0.extend(index.chain(index.most_specific(address)));
        }
        if rows.0.len() > single {
            rows.0
                .sort_unstable_by_key(|&id| (Reverse(index.node(id).specificity), id));
            rows.0.dedup();
        }
        rows
    }

    fn of_chain(index: &Index, first: Option<First>) -> Self {
        Self(index.chain(first).collect())
    }

    /// The patterns of equal specificity together. Several From addresses can have several.
    fn by_specificity<'a>(&'a self, index: &'a Index) -> impl Iterator<Item = &'a [NodeId]> {
        self.0
            .chunk_by(|&a, &b| index.node(a).specificity == index.node(b).specificity)
    }
}

/// The smallest number that is in both lists, each of which is in ascending order.
fn first_common(mut a: &[Rank], mut b: &[Rank]) -> Option<Rank> {
    while let (Some(&x), Some(&y)) = (a.first(), b.first()) {
        match x.cmp(&y) {
            std::cmp::Ordering::Equal => return Some(x),
            std::cmp::Ordering::Less => a = skip_below(a, y),
            std::cmp::Ordering::Greater => b = skip_below(b, x),
        }
    }
    None
}

/// The list from its first number that is not below the bound: in steps that double, then by halving, so that a short
/// list is intersected with a long one in a time that hardly depends on the long one.
fn skip_below(list: &[Rank], bound: Rank) -> &[Rank] {
    let mut step = 1;
    while list.get(step).is_some_and(|&rank| rank < bound) {
        step *= 2;
    }
    let window = list.get(..=step).unwrap_or(list);
    list.get(window.partition_point(|&rank| rank < bound)..)
        .unwrap_or_default()
}
