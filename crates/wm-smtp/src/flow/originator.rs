//! Who a message says it is from (RFC 5322 §3.6.2), and whether its submitter may say so (PRM-2,
//! PRM-3).

use mail_parser::{Address, HeaderName, MessageParser};
use wm_core::EmailAddress;
use wm_core::content::Head;
use wm_core::model::{EntityId, MailboxRights, Principal};
use wm_core::traits::{Directory, Resolution};

use super::refusal::{self, Refusal};

/// The authors and the sender of a message.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Originators {
    /// The From mailboxes, at least one.
    from: Vec<EmailAddress>,
    sender: Option<EmailAddress>,
}

impl Originators {
    /// Reads them, if there is exactly one From field and at most one Sender field, and each mailbox
    /// in them has an address.
    pub(super) fn of(head: Head<'_>) -> Option<Self> {
        let from = addresses(head, HeaderName::From)?;
        let mut sender = addresses(head, HeaderName::Sender);
        let sender = match (head.first("Sender"), sender.as_deref_mut()) {
            (None, _) => None,
            (Some(_), Some([sender])) => Some(sender.clone()),
            _ => return None,
        };
        Some(Self { from, sender })
    }

    /// Whether `submitter` may send this: each author is the submitter or has granted Send As, or
    /// has granted Send On Behalf and the submitter is named as the sender. Answers the address to
    /// add as Sender, where the message does not name one and has to.
    pub(super) async fn permit<'a>(
        &self,
        directory: &dyn Directory,
        submitter: &'a Principal,
    ) -> Result<Option<&'a EmailAddress>, Refusal> {
        let mut own_sender = self.sender.is_none();
        if let Some(sender) = &self.sender {
            let right = right_to_send(directory, submitter, sender).await?;
            if !right.as_owner() {
                return Err(refusal::NOT_PERMITTED.about(sender).into());
            }
            own_sender = right == Right::Own;
        }
        let mut on_behalf = false;
        for author in &self.from {
            match right_to_send(directory, submitter, author).await? {
                Right::Own | Right::SendAs => {}
                Right::SendOnBehalf if own_sender => on_behalf = true,
                _ => return Err(refusal::NOT_PERMITTED.about(author).into()),
            }
        }
        Ok((on_behalf && self.sender.is_none()).then_some(&submitter.address))
    }
}

/// What somebody may do with an address in mail they send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Right {
    /// It is their own, primary or alias.
    Own,
    SendAs,
    SendOnBehalf,
    None,
}

impl Right {
    const fn as_owner(self) -> bool {
        matches!(self, Self::Own | Self::SendAs)
    }
}

pub(super) async fn right_to_send(
    directory: &dyn Directory,
    submitter: &Principal,
    address: &EmailAddress,
) -> Result<Right, Refusal> {
    let (organization, entity) = match directory.resolve(address).await? {
        Resolution::User(user) => (user.organization, EntityId::User(user.id)),
        Resolution::Group(group) => (group.organization, EntityId::Group(group.id)),
        Resolution::Resource(resource) => (resource.organization, EntityId::Resource(resource.id)),
        Resolution::UnknownRecipient(_) | Resolution::UnknownDomain => return Ok(Right::None),
    };
    if organization != submitter.organization {
        return Ok(Right::None);
    }
    if entity == EntityId::User(submitter.user) {
        return Ok(Right::Own);
    }
    let rights = directory
        .rights(organization, submitter.user, entity)
        .await?;
    Ok(match rights {
        MailboxRights { send_as: true, .. } => Right::SendAs,
        MailboxRights {
            send_on_behalf: true,
            ..
        } => Right::SendOnBehalf,
        _ => Right::None,
    })
}

/// The addresses of the one field of this name; `None` when there is not exactly one, or one of its
/// mailboxes has no address.
fn addresses(head: Head<'_>, name: HeaderName<'static>) -> Option<Vec<EmailAddress>> {
    let mut fields = head.fields().filter(|field| field.is(name.as_str()));
    let (field, None) = (fields.next()?, fields.next()) else {
        return None;
    };
    let parser = MessageParser::new().header_address(name.clone());
    let parsed = parser.parse_headers(field.raw())?;
    let list = parsed.header(name)?.as_address()?;
    let list: Vec<_> = Address::iter(list)
        .map(|mailbox| mailbox.address()?.parse().ok())
        .collect::<Option<_>>()?;
    (!list.is_empty()).then_some(list)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn originators(head: &str) -> Option<(Vec<String>, Option<String>)> {
        let originators = Originators::of(Head::new(head.as_bytes()))?;
        let text = |address: &EmailAddress| address.to_string();
        Some((
            originators.from.iter().map(text).collect(),
            originators.sender.as_ref().map(text),
        ))
    }

    #[test]
    fn authors_and_sender_are_read_from_any_spelling() {
        let (alice, bob) = ("alice@example.org".to_owned(), "bob@example.org".to_owned());
        for from in [
            "From: alice@example.org\r\n",
            "from : Alice <ALICE@example.org>\r\n",
            "FROM:\r\n \"bob@example.org\"\r\n <alice@example.org> (bob)\r\n",
            "From: =?utf-8?q?bob=40example.org?= <alice@example.org>\r\n",
        ] {
            assert_eq!(
                originators(from),
                Some((vec![alice.clone()], None)),
                "{from}"
            );
        }
        assert_eq!(
            originators(
                "From: a <alice@example.org>, bob@example.org\r\nSender: bob@example.org\r\n"
            ),
            Some((vec![alice, bob.clone()], Some(bob)))
        );
    }

    #[test]
    fn what_readers_could_take_for_different_authors_is_not_read() {
        for head in [
            "Subject: x\r\n",
            "From:\r\n",
            "From: Alice\r\n",
            "From: alice@example.org\r\nFrom: bob@example.org\r\n",
            "From: alice@example.org, Bob\r\n",
            "From: alice@example.org\r\nSender:\r\n",
            "From: alice@example.org\r\nSender: a@b.c, d@e.f\r\n",
            "From: alice@example.org\r\nSender: a@b.c\r\nSender: a@b.c\r\n",
        ] {
            assert_eq!(originators(head), None, "{head}");
        }
    }
}
