use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use wm_core::content::{Scanner, Structure, conversation};
use wm_core::model::{
    EntityId, EntityState, Flags, FolderRole, Group, ItemClass, Origin, Principal, Protocol,
};
use wm_core::traits::{
    Acceptance, Body, BodyWriter, Delivery, ItemContent, NewItem, Resolution, ReversePath,
};
use wm_core::{AcceptId, ConversationId, EmailAddress, MailboxRef, OrganizationId};

use super::MailFlow;
use super::originator::{Originators, Right, right_to_send};
use super::refusal::{self, Refusal};
use crate::codec::{ForwardPath, Reply};
use crate::trace::{Hop, Trace};

/// Received fields of a message that is not going in circles, at most (RFC 5321 §6.3).
const MAX_HOPS: usize = 100;

/// One message on its way in: its envelope is checked as it grows, its body goes to storage as it
/// comes, and [`accept`](Self::accept) takes responsibility for it. Dropped before that, it leaves
/// nothing behind.
pub struct Transaction {
    flow: Arc<MailFlow>,
    hop: Hop,
    submitter: Option<Principal>,
    reverse_path: ReversePath,
    /// The mailboxes, each with the address it was reached by first.
    recipients: BTreeMap<MailboxRef, EmailAddress>,
    /// One body for each organization: they share nothing, not even equal content.
    bodies: Vec<(OrganizationId, Box<dyn BodyWriter>)>,
    scanner: Scanner,
    size: u64,
    failure: Option<Refusal>,
}

/// A message that has been taken responsibility for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// Its id.
    pub id: AcceptId,
    /// Where it came from.
    pub reverse_path: ReversePath,
    /// The mailboxes it is in.
    pub mailboxes: usize,
    /// Its octets, as received.
    pub size: u64,
}

impl MailFlow {
    /// Begins a message that comes by this hop. Without a `submitter` it comes from outside, from
    /// anybody; with one, the sender has to be an address the submitter may send from (PRM-3), or
    /// none.
    ///
    /// # Errors
    /// 550 5.7.1 for another's address.
    pub async fn begin(
        self: &Arc<Self>,
        hop: Hop,
        submitter: Option<Principal>,
        reverse_path: ReversePath,
    ) -> Result<Transaction, Refusal> {
        if let (Some(submitter), Some(sender)) = (&submitter, &reverse_path.0)
            && right_to_send(&*self.directory, submitter, sender).await? == Right::None
        {
            return Err(refusal::NOT_PERMITTED.about(sender).into());
        }
        Ok(Transaction {
            flow: Arc::clone(self),
            hop,
            submitter,
            reverse_path,
            recipients: BTreeMap::new(),
            bodies: Vec::new(),
            scanner: Scanner::new(),
            size: 0,
            failure: None,
        })
    }

    /// The mailboxes that mail for this address goes to.
    async fn mailboxes(
        &self,
        address: &EmailAddress,
        submitted: bool,
    ) -> Result<Vec<MailboxRef>, Refusal> {
        let unknown_domain = if submitted {
            refusal::NO_RELAY
        } else {
            refusal::RELAYING_DENIED
        };
        let refuse = |reply: Reply| Err(reply.about(address).into());
        let Some(domain) = self.directory.domain(address.domain()).await? else {
            return refuse(unknown_domain);
        };
        if !submitted && !domain.verified {
            return refuse(refusal::UNVERIFIED_DOMAIN);
        }
        let organization = self.directory.organization(domain.organization).await?;
        if !organization.is_some_and(|organization| organization.state.serves()) {
            return refuse(refusal::NOT_IN_SERVICE);
        }
        match self.directory.resolve(address).await? {
            Resolution::User(user) => Ok(vec![user.mailbox()]),
            Resolution::Resource(resource) => Ok(vec![MailboxRef {
                organization: resource.organization,
                mailbox: resource.id.into(),
            }]),
            Resolution::Group(group) => match self.members(&group).await? {
                members if members.is_empty() => refuse(refusal::EMPTY_GROUP),
                members => Ok(members),
            },
            Resolution::UnknownRecipient(_) => refuse(refusal::UNKNOWN_USER),
            Resolution::UnknownDomain => refuse(unknown_domain),
        }
    }

    /// The mailboxes of a group's members who receive mail.
    async fn members(&self, group: &Group) -> Result<Vec<MailboxRef>, Refusal> {
        let organization = group.organization;
        let mut mailboxes = Vec::new();
        for member in self.directory.expand(organization, group.id).await? {
            let state = match member {
                EntityId::User(id) => self
                    .directory
                    .user(organization, id)
                    .await?
                    .map(|user| user.state),
                EntityId::Resource(id) => self
                    .directory
                    .resource(organization, id)
                    .await?
                    .map(|resource| resource.state),
                EntityId::Group(_) => None,
            };
            if let (Some(EntityState::Enabled), Some(mailbox)) = (state, member.mailbox()) {
                mailboxes.push(MailboxRef {
                    organization,
                    mailbox,
                });
            }
        }
        Ok(mailboxes)
    }
}

impl Transaction {
    /// Adds a recipient: a user, a resource, or the members of a group. A mailbox reached twice gets
    /// one copy.
    ///
    /// # Errors
    /// 550 5.1.1 when nobody of this name receives mail, 550 5.7.1 when the domain is not served or,
    /// from outside, not verified (DOM-7), 550 5.2.4 for a group that comes down to nobody, 450 4.3.2
    /// while the organization is out of service.
    pub async fn recipient(&mut self, path: &ForwardPath) -> Result<(), Refusal> {
        let address = match path {
            ForwardPath::Mailbox(address) => address,
            ForwardPath::Postmaster => {
                self.flow.postmaster.as_ref().ok_or(refusal::UNKNOWN_USER)?
            }
        };
        let submitted = self.submitter.is_some();
        for mailbox in self.flow.mailboxes(address, submitted).await? {
            self.recipients
                .entry(mailbox)
                .or_insert_with(|| address.clone());
        }
        Ok(())
    }

    /// Adds octets of the message. Waits while storage is busy. What goes wrong is told by
    /// [`accept`](Self::accept), where the protocol has room for it.
    pub async fn body(&mut self, octets: Bytes) {
        if self.failure.is_some() {
            return;
        }
        self.size += octets.len() as u64;
        self.scanner.feed(&octets);
        if let Err(failure) = self.write(octets).await {
            self.bodies.clear();
            self.failure = Some(failure);
        }
    }

    /// Takes responsibility for the message: when this answers `Ok`, it is in every mailbox and
    /// survives power loss.
    ///
    /// # Errors
    /// Nothing of the message was kept. 550 5.7.1 when its From or Sender is not the submitter's to
    /// use, 550 5.6.0 when a submitted message has none, 554 5.4.6 when it goes in circles, 452 4.2.2
    /// when a mailbox is full, 451 4.3.0 when storage or directory failed.
    pub async fn accept(mut self) -> Result<Receipt, Refusal> {
        if let Some(failure) = self.failure.take() {
            return Err(failure);
        }
        self.open_bodies().await?;
        let structure = std::mem::take(&mut self.scanner).finish();
        let head = structure.root().head();
        if head.fields().filter(|field| field.is("Received")).count() > MAX_HOPS {
            return Err(refusal::LOOP.into());
        }
        let add_sender = match &self.submitter {
            Some(submitter) => {
                let originators =
                    Originators::of(head).filter(|_| structure.root().head_is_complete());
                let originators = originators.ok_or(refusal::NO_ORIGINATOR)?;
                originators
                    .permit(&*self.flow.directory, submitter)
                    .await?
                    .cloned()
            }
            None => None,
        };
        let mut bodies = BTreeMap::new();
        for (organization, writer) in std::mem::take(&mut self.bodies) {
            bodies.insert(organization, writer.finish().await?);
        }
        let acceptance = self.acceptance(&structure, add_sender, &bodies);
        let receipt = Receipt {
            id: acceptance.id,
            mailboxes: acceptance.deliveries.len(),
            size: self.size,
            reverse_path: self.reverse_path,
        };
        self.flow.spool.accept(acceptance).await?;
        Ok(receipt)
    }

    async fn write(&mut self, octets: Bytes) -> Result<(), Refusal> {
        self.open_bodies().await?;
        for (_, body) in &mut self.bodies {
            body.write(octets.clone()).await?;
        }
        Ok(())
    }

    async fn open_bodies(&mut self) -> Result<(), Refusal> {
        if !self.bodies.is_empty() {
            return Ok(());
        }
        let mut organizations: Vec<_> = self
            .recipients
            .keys()
            .map(|mailbox| mailbox.organization)
            .collect();
        organizations.dedup();
        for organization in organizations {
            let body = self.flow.spool.body_writer(organization).await?;
            self.bodies.push((organization, body));
        }
        Ok(())
    }

    fn acceptance(
        &self,
        structure: &Structure,
        add_sender: Option<EmailAddress>,
        bodies: &BTreeMap<OrganizationId, Body>,
    ) -> Acceptance {
        let at = self.flow.clock.now();
        let id = AcceptId::from_u128(self.flow.ids.fresh());
        let summary = structure.summary();
        let conversation = conversation(structure.root().head())
            .unwrap_or_else(|| ConversationId(self.flow.ids.fresh()));
        let deliver = |(&mailbox, recipient): (&MailboxRef, &EmailAddress)| {
            let trace = Trace {
                reverse_path: &self.reverse_path,
                hop: &self.hop,
                by: &self.flow.host,
                id,
                recipient,
                at,
            };
            let mut prefix = trace.to_string();
            if let Some(sender) = &add_sender {
                prefix += &format!("Sender: {}\r\n", sender.original());
            }
            let body = *bodies.get(&mailbox.organization)?;
            let item = NewItem {
                folder: FolderRole::Inbox.into(),
                delivered: true,
                class: ItemClass::default(),
                content: ItemContent {
                    prefix: prefix.into(),
                    body,
                    summary: summary.clone(),
                },
                received: at,
                flags: Flags::NONE,
                keywords: [].into(),
                categories: [].into(),
                conversation,
                creator: None,
                properties: [].into(),
            };
            Some(Delivery {
                mailbox,
                recipient: recipient.clone(),
                item,
            })
        };
        Acceptance {
            id,
            at,
            origin: Origin::new(Protocol::Smtp, self.hop.peer.to_string()),
            deliveries: self.recipients.iter().filter_map(deliver).collect(),
            tasks: Vec::new(),
            counters: Vec::new(),
        }
    }
}
