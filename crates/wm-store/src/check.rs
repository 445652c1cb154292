//! Looking a store over without changing it.

use crate::{
    engine::{Direction, KeyRange, Snapshot},
    fault::Fault,
    keyspace::Space,
    mailbox,
    seal::{KeySet, OVERHEAD},
    segment::{self, Bodies},
    spool,
    store::Store,
};
use bytes::Bytes;
use std::{collections::HashMap, sync::Arc};
use wm_core::{BodyId, ItemId, MailboxRef, OrganizationId, traits::StoreError};

/// Records looked at with one snapshot.
const PAGE: usize = 1000;

/// What [`Store::check`] found.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct CheckReport {
    /// Items there are.
    pub items: u64,
    /// Bodies that items or tasks refer to.
    pub bodies: u64,
    /// Octets of those bodies.
    pub octets: u64,
    /// Octets in segments that are no whole record: damage, or what a power cut left of a record
    /// that nothing refers to. Where it has cost a body, there is a finding.
    pub torn: u64,
    /// What is damaged.
    pub findings: Vec<Finding>,
}

/// Something that is damaged.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Finding {
    /// Whose it is; `None` where that cannot be told.
    pub organization: Option<OrganizationId>,
    /// The mailbox it belongs to, if it belongs to one.
    pub mailbox: Option<MailboxRef>,
    /// The item it belongs to, if it belongs to one.
    pub item: Option<ItemId>,
    /// What is wrong, in words.
    pub what: String,
}

impl Store {
    /// Reads everything there is once, and reports what is damaged. Changes nothing. `progress` is
    /// told how many octets are done, of how many.
    ///
    /// # Errors
    /// Only what keeps it from looking any further; damage is in the report.
    pub async fn check(
        &self,
        progress: impl Fn(u64, u64) + Send + Sync + 'static,
    ) -> Result<CheckReport, StoreError> {
        let mut report = CheckReport::default();
        if let Err(error) = self.core.verify_engine().await {
            report.find(None, format!("the engine: {error}"));
        }
        let (bodies, progress) = (self.core.bodies.clone(), Arc::new(progress));
        let tell = progress.clone();
        let segments = move |_: &dyn Snapshot| Ok::<_, Fault>(bodies.scan_all(&*tell)?);
        let (torn, octets) = self.core.read(segments).await?;
        report.torn = torn;

        for owner in self.core.read(owners).await? {
            let keys = match self.core.known_keys(owner).await {
                Ok(Some(keys)) => keys,
                Ok(None) => continue,
                Err(fault) => {
                    report.find(Some(owner), fault.to_string());
                    continue;
                }
            };
            let bodies = self.core.bodies.clone();
            let mut inspector = Inspector {
                report,
                keys,
                bodies,
                seen: HashMap::new(),
            };
            let mut rest = KeyRange::prefix(owner.as_u128().to_be_bytes().to_vec());
            loop {
                let page = move |now: &dyn Snapshot| inspector.page(now, rest);
                let (back, last) = self.core.read(page).await?;
                inspector = back;
                progress(octets + inspector.report.octets.min(octets), octets * 2);
                match last {
                    Some(left) => rest = left,
                    None => break,
                }
            }
            report = inspector.report;
        }
        progress(octets * 2, octets * 2);
        Ok(report)
    }
}

impl CheckReport {
    fn find(&mut self, organization: Option<OrganizationId>, what: String) {
        self.findings.push(Finding {
            organization,
            mailbox: None,
            item: None,
            what,
        });
    }
}

/// Looks over what belongs to one owner.
struct Inspector {
    report: CheckReport,
    keys: Arc<KeySet>,
    bodies: Bodies,
    /// The bodies looked at so far, and what is wrong with them.
    seen: HashMap<BodyId, Option<String>>,
}

impl Inspector {
    /// Looks at some records of a range; answers what is left of it.
    fn page(
        mut self,
        now: &dyn Snapshot,
        range: KeyRange,
    ) -> Result<(Self, Option<KeyRange>), Fault> {
        let mut last = None;
        for entry in now.scan(range.clone(), Direction::Forward).take(PAGE) {
            let (key, value) = entry?;
            self.look(now, &key, &value)?;
            last = Some(key);
        }
        Ok((self, last.map(|last| range.after(&last))))
    }

    fn look(&mut self, now: &dyn Snapshot, key: &[u8], value: &Bytes) -> Result<(), Fault> {
        let (owner, space) = (self.keys.organization(), key.get(16).copied());
        if space == Some(Space::Mailboxes as u8) {
            return self.look_at_mailbox(now, key, value);
        }
        if space == Some(Space::Spool as u8) {
            let wrong = match spool::inspect(&self.keys, key, value) {
                Ok(Some(body)) => self.look_at_body(now, body)?,
                Ok(None) => None,
                Err(fault) => Some(fault.to_string()),
            };
            if let Some(what) = wrong {
                self.report.find(Some(owner), what);
            }
            return Ok(());
        }
        let in_the_clear = space == Some(Space::Keys as u8) || value.len() < OVERHEAD;
        if !in_the_clear && let Err(error) = self.keys.open_value(key, value) {
            self.report.find(
                Some(owner),
                format!("the record {}: {error}", key.escape_ascii()),
            );
        }
        Ok(())
    }

    fn look_at_mailbox(
        &mut self,
        now: &dyn Snapshot,
        key: &[u8],
        value: &Bytes,
    ) -> Result<(), Fault> {
        let inspected = mailbox::inspect(&self.keys, key, value);
        let mut wrong = inspected.wrong;
        if inspected.item.is_some() {
            self.report.items += 1;
        }
        if let Some(body) = inspected.body {
            wrong = self.look_at_body(now, body)?;
        }
        if let Some(what) = wrong {
            let Some(mailbox) = inspected.mailbox else {
                return Ok(());
            };
            self.report.findings.push(Finding {
                organization: Some(mailbox.organization),
                mailbox: Some(mailbox),
                item: inspected.item,
                what,
            });
        }
        Ok(())
    }

    /// What is wrong with a body.
    fn look_at_body(&mut self, now: &dyn Snapshot, body: BodyId) -> Result<Option<String>, Fault> {
        if let Some(known) = self.seen.get(&body) {
            return Ok(known.clone());
        }
        let wrong = match segment::find_body(now, &self.keys, body) {
            Ok(Some(stored)) => {
                self.report.bodies += 1;
                self.report.octets += stored.size;
                self.bodies
                    .verify(&self.keys, stored)
                    .err()
                    .map(|error| error.to_string())
            }
            Ok(None) => Some(format!("its body {body} is missing")),
            Err(fault) if fault.is_damage() => Some(fault.to_string()),
            Err(fault) => return Err(fault),
        };
        self.seen.insert(body, wrong.clone());
        Ok(wrong)
    }
}

/// Everybody who has something in the store.
pub(crate) fn owners(now: &dyn Snapshot) -> Result<Vec<OrganizationId>, Fault> {
    let mut owners = Vec::new();
    let mut rest = KeyRange::all();
    while let Some((key, _)) = now
        .scan(rest.clone(), Direction::Forward)
        .next()
        .transpose()?
    {
        let owner = key
            .first_chunk()
            .map(|owner| u128::from_be_bytes(*owner))
            .unwrap_or_default();
        owners.push(OrganizationId::from_u128(owner));
        let Some(next) = owner.checked_add(1) else {
            break;
        };
        rest.start = next.to_be_bytes().to_vec().into();
    }
    Ok(owners)
}
