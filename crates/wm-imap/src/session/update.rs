//! Commands that change messages: STORE, EXPUNGE, COPY, MOVE.

use imap_codec::imap_types::flag::StoreType;
use wm_core::access::MailboxSession;
use wm_core::model::{Flags, Folder};
use wm_core::traits::{Expect, Mode, Operation, Outcome, StoreError};
use wm_core::{FolderId, Timestamp, Uid};

use super::Failure;
use super::flags::Marks;
use super::items::{self, PAGE};
use super::view::View;

/// A selected mailbox that is to be changed.
pub(super) struct Update<'a> {
    pub(super) mailbox: &'a MailboxSession,
    pub(super) view: &'a mut View,
    pub(super) now: Timestamp,
    /// Operations that the store takes at a time.
    pub(super) operations: usize,
}

/// What STORE has left undone.
#[derive(Default)]
struct Left {
    /// Messages that others have changed.
    changed: Vec<usize>,
    /// Whether there are messages that are gone.
    missing: bool,
}

/// Messages copied or moved: the UIDs they had and those they have.
#[derive(Default)]
pub(super) struct Copied {
    from: Vec<Uid>,
    to: Vec<Uid>,
}

impl Update<'_> {
    /// STORE; whether any of the messages is no longer there. If `silent`, the client takes its change for done and is
    /// not told; unless others have changed the same message in between, in which case it is.
    pub(super) async fn store(
        &mut self,
        places: &[usize],
        kind: StoreType,
        marks: &Marks,
        silent: bool,
    ) -> Result<bool, Failure> {
        let mut left = Left::default();
        if silent {
            self.mark(places, kind, marks, true, &mut left).await?;
        } else {
            left.changed.extend_from_slice(places);
        }
        let others = std::mem::take(&mut left.changed);
        for &place in &others {
            self.view.must_tell(place);
        }
        self.mark(&others, kind, marks, false, &mut left).await?;
        Ok(left.missing)
    }

    /// Marks messages; if `unchanged`, only those whose flags the client knows.
    async fn mark(
        &mut self,
        places: &[usize],
        kind: StoreType,
        marks: &Marks,
        unchanged: bool,
        left: &mut Left,
    ) -> Result<(), Failure> {
        for chunk in places.chunks(self.operations) {
            let messages = self.view.at(chunk);
            let operations = messages
                .iter()
                .map(|&(place, message)| Operation::UpdateItem {
                    item: message.item,
                    expect: Expect {
                        folder: Some(self.view.folder()),
                        unchanged_since: unchanged.then(|| self.view.known_state(place)),
                        ..Expect::default()
                    },
                    update: marks.clone().update(kind),
                });
            let operations = operations.collect();
            for (&(place, _), outcome) in messages.iter().zip(self.apply(operations).await?) {
                match outcome {
                    Outcome::Item { modseq, .. } if unchanged => self.view.knows(place, modseq),
                    Outcome::Refused(StoreError::Changed { .. }) => left.changed.push(place),
                    Outcome::Refused(StoreError::NoSuchItem(_)) => left.missing = true,
                    Outcome::Refused(error) => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(())
    }

    /// EXPUNGE: deletes those of the messages that are marked `\Deleted`.
    pub(super) async fn expunge(&mut self, places: &[usize]) -> Result<(), Failure> {
        let expect = Expect {
            folder: Some(self.view.folder()),
            flags: Flags::DELETED,
            ..Expect::default()
        };
        for chunk in places.chunks(PAGE) {
            let messages = self.view.at(chunk);
            let mut marked = items::load(self.mailbox, self.view.folder(), &messages).await?;
            marked.retain(|(_, item)| item.flags.contains(Flags::DELETED));
            for chunk in marked.chunks(self.operations) {
                let delete = chunk.iter().map(|(_, item)| Operation::DeleteItem {
                    item: item.id,
                    expect,
                });
                let operations = delete.collect();
                for outcome in self.apply(operations).await? {
                    match outcome {
                        // Gone, or no longer marked.
                        Outcome::Refused(
                            StoreError::NoSuchItem(_) | StoreError::Changed { .. },
                        ) => {}
                        Outcome::Refused(error) => return Err(error.into()),
                        _ => {}
                    }
                }
            }
        }
        Ok(())
    }

    /// COPY: all of the messages, or none as long as the store takes them at one time.
    pub(super) async fn copy(&mut self, places: &[usize], to: &Folder) -> Result<Copied, Failure> {
        self.transfer(places, to.id, Mode::AllOrNothing).await
    }

    /// MOVE: as many as are still there.
    pub(super) async fn r#move(
        &mut self,
        places: &[usize],
        to: &Folder,
    ) -> Result<Copied, Failure> {
        self.transfer(places, to.id, Mode::EachOnItsOwn).await
    }

    async fn transfer(
        &mut self,
        places: &[usize],
        to: FolderId,
        mode: Mode,
    ) -> Result<Copied, Failure> {
        let mut copied = Copied::default();
        let expect = Expect {
            folder: Some(self.view.folder()),
            ..Expect::default()
        };
        for chunk in places.chunks(self.operations) {
            let messages = self.view.at(chunk);
            let operation = |item| match mode {
                Mode::AllOrNothing => Operation::CopyItem {
                    item,
                    expect,
                    to: to.into(),
                },
                Mode::EachOnItsOwn => Operation::MoveItem {
                    item,
                    expect,
                    to: to.into(),
                },
            };
            let operations = messages
                .iter()
                .map(|(_, message)| operation(message.item))
                .collect();
            let applied = self.mailbox.apply(mode, operations, self.now).await;
            self.view.expect_news();
            let applied = applied.map_err(|error| match error {
                StoreError::NoSuchItem(_) => Failure::ExpungeIssued,
                other => other.into(),
            })?;
            for ((_, message), outcome) in messages.iter().zip(applied.outcomes) {
                match outcome {
                    Outcome::Item { uid, .. } => {
                        copied.from.push(message.uid);
                        copied.to.push(uid);
                    }
                    Outcome::Refused(StoreError::NoSuchItem(_)) => {}
                    Outcome::Refused(error) => return Err(error.into()),
                    _ => {}
                }
            }
        }
        Ok(copied)
    }

    async fn apply(&mut self, operations: Vec<Operation>) -> Result<Vec<Outcome>, Failure> {
        if operations.is_empty() {
            return Ok(Vec::new());
        }
        let applied = self
            .mailbox
            .apply(Mode::EachOnItsOwn, operations, self.now)
            .await;
        self.view.expect_news();
        Ok(applied?.outcomes)
    }
}

impl Copied {
    /// The response code COPYUID (RFC 4315 §3); `None` when nothing was copied.
    pub(super) fn code(&self, to: &Folder) -> Option<String> {
        let (from, dest) = (uid_set(&self.from), uid_set(&self.to));
        (!self.from.is_empty()).then(|| format!("COPYUID {} {from} {dest}", to.uid_validity))
    }
}

/// UIDs in their order, runs shortened.
fn uid_set(uids: &[Uid]) -> String {
    let follows = |a: &Uid, b: &Uid| a.as_u32().checked_add(1) == Some(b.as_u32());
    let runs = uids.chunk_by(follows).map(|run| match run {
        [first, .., last] => format!("{first}:{last}"),
        _ => run.iter().map(Uid::to_string).collect(),
    });
    runs.collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uid_sets_are_written_short() {
        let set =
            |uids: &[u32]| uid_set(&uids.iter().filter_map(|&n| Uid::new(n)).collect::<Vec<_>>());
        assert_eq!(set(&[4, 5, 6, 9, 11, 12]), "4:6,9,11:12");
        assert_eq!(set(&[]), "");
    }
}
