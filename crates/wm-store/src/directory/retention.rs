//! What becomes of mailboxes whose owner is disabled or deleted (USR-3), and of organizations that are
//! being removed (ORG-5).

use super::{
    StoredDirectory, plan,
    record::{Edit, EntityRecord, Record, RecordId},
    roll::Roll,
};
use crate::{Store, keyspace::INSTALLATION};
use wm_core::{
    MailboxId, MailboxRef, OrganizationId, Timestamp,
    model::{EntityState, Organization, OrganizationState},
    traits::{AuditEvent, AuditLog, Directory, DirectoryError, StoreError},
};

impl StoredDirectory {
    /// Removes for good the mailboxes of all who have been disabled, or deleted after having been, for
    /// [`mailbox_retention`](wm_core::Limits::mailbox_retention) (USR-3); answers which. `audit` makes the
    /// event, of a name, that is committed once a mailbox is gone.
    ///
    /// It can be given up or cut short at any moment, by loss of power too, and be begun again. Somebody
    /// who is enabled meanwhile keeps the mailbox, or begins with an empty one.
    ///
    /// # Errors
    /// The first fault; what was removed stays so.
    pub async fn remove_retired(
        &self,
        now: Timestamp,
        audit: impl Fn(&Organization, &str) -> AuditEvent + Send + Sync,
    ) -> Result<Vec<MailboxRef>, DirectoryError> {
        let kept = i64::try_from(self.core.limits.mailbox_retention.as_millis());
        let until = now.as_millis().saturating_sub(kept.unwrap_or(i64::MAX));
        let until = Timestamp::from_millis(until);
        let mut removed = Vec::new();
        for organization in self.organizations().await? {
            if matches!(
                organization.state,
                OrganizationState::Deleting | OrganizationState::Deleted
            ) {
                continue;
            }
            let due = |roll: &Roll| Ok(roll.retired(until));
            for mailbox in self.query(organization.id, due).await?.unwrap_or_default() {
                let of = MailboxRef {
                    organization: organization.id,
                    mailbox,
                };
                let event = audit(&organization, "DeleteMailbox");
                if self.remove_one(of, until, event).await? {
                    removed.push(of);
                }
            }
        }
        Ok(removed)
    }

    /// Removes one that is still due; answers whether it was.
    async fn remove_one(
        &self,
        of: MailboxRef,
        until: Timestamp,
        event: AuditEvent,
    ) -> Result<bool, DirectoryError> {
        let store = Store {
            core: self.core.clone(),
        };
        {
            // Nobody is enabled between the decision and its being durable.
            let _alone = self.shared.changes.lock().await;
            let is_due = |roll: &Roll| Ok(roll.edits_of_retired(of.mailbox, until).is_some());
            if !self
                .query(of.organization, is_due)
                .await?
                .unwrap_or_default()
            {
                return Ok(false);
            }
            store.retire(of).await.map_err(unavailable)?;
        }
        store.purge_mailbox(of).await.map_err(unavailable)?;
        store
            .forget_states(of)
            .await
            .map_err(|error| DirectoryError::Unavailable {
                reason: error.to_string(),
                source: Some(Box::new(error)),
            })?;

        let noted = event.clone();
        let note = self.commit(of.organization, event, |installation| {
            let roll = installation.roll(of.organization)?;
            let edits = roll.and_then(|roll| roll.edits_of_retired(of.mailbox, until));
            let edits = edits.ok_or(DirectoryError::WrongState(String::new()))?;
            Ok((edits, ()))
        });
        match note.await {
            // Enabled meanwhile: there is nothing to note but that the mailbox was removed.
            Err(DirectoryError::WrongState(_)) => {
                self.record(noted).await?;
            }
            noted => noted?,
        }
        Ok(true)
    }

    /// Completes the removal of every organization that is [`Deleting`](OrganizationState::Deleting)
    /// (ORG-5); answers which. Its keys are destroyed first, which makes what there is of it unreadable at
    /// once and for good; then all its records go, in steps; then it is
    /// [`Deleted`](OrganizationState::Deleted), with the event that `audit` makes. The space of its bodies
    /// is given back by [`Store::compact`].
    ///
    /// It can be given up or cut short at any moment, by loss of power too, and be begun again.
    ///
    /// # Errors
    /// The first fault; what was removed stays so.
    pub async fn finish_removals(
        &self,
        audit: impl Fn(&Organization, &str) -> AuditEvent + Send + Sync,
    ) -> Result<Vec<OrganizationId>, DirectoryError> {
        let store = Store {
            core: self.core.clone(),
        };
        let mut removed = Vec::new();
        for organization in self.organizations().await? {
            let id = organization.id;
            let is_deleted = organization.state == OrganizationState::Deleted;
            if !(is_deleted || organization.state == OrganizationState::Deleting)
                || id == INSTALLATION
            {
                continue;
            }
            // Of a deleted one there is something only if somebody was at work on it to the last.
            if is_deleted && !store.has_any_of(id).await.map_err(unavailable)? {
                continue;
            }
            store.shred(id).await.map_err(unavailable)?;
            store.erase(id).await.map_err(unavailable)?;
            if !is_deleted {
                let event = audit(&organization, "DeleteOrganization");
                let to = OrganizationState::Deleted;
                self.commit(id, event, |installation| {
                    let known = installation.organization(id);
                    let known = known.ok_or(DirectoryError::NoSuchOrganization(id))?;
                    Ok((plan::state(installation, known, to)?, ()))
                })
                .await?;
                removed.push(id);
            }
        }
        Ok(removed)
    }
}

impl Roll {
    /// The mailboxes whose time is over: those of who was disabled up to `until`.
    fn retired(&self, until: Timestamp) -> Vec<MailboxId> {
        let disabled = self
            .entities()
            .filter(|entity| is_retired(entity, until))
            .filter_map(|entity| entity.id().mailbox());
        let deleted = self.retained().filter(|(_, since)| *since <= until);
        disabled
            .chain(deleted.map(|(mailbox, _)| mailbox))
            .collect()
    }

    /// What notes that such a mailbox is gone; `None` if its time is not over.
    fn edits_of_retired(&self, mailbox: MailboxId, until: Timestamp) -> Option<Vec<Edit>> {
        if self
            .retained()
            .any(|(other, since)| other == mailbox && since <= until)
        {
            return Some(vec![Edit::Remove(RecordId::Retained(mailbox))]);
        }
        let mut entity = self
            .entities()
            .find(|entity| entity.id().mailbox() == Some(mailbox))
            .filter(|entity| is_retired(entity, until))?
            .clone();
        let (state, ..) = entity.mail_mut();
        *state = EntityState::Disabled { since: None };
        Some(vec![Edit::Put(Record::Entity(entity))])
    }
}

fn is_retired(entity: &EntityRecord, until: Timestamp) -> bool {
    match entity.mail().0 {
        EntityState::Disabled { since: Some(since) } => since <= until,
        _ => false,
    }
}

fn unavailable(error: StoreError) -> DirectoryError {
    match error {
        StoreError::Damaged { what, .. } => DirectoryError::Damaged(what),
        error => DirectoryError::Unavailable {
            reason: error.to_string(),
            source: Some(Box::new(error)),
        },
    }
}
