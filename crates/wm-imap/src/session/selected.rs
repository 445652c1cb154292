//! What the commands of the authenticated and the selected state do (RFC 3501 §6.3, §6.4).

use imap_codec::imap_types::command::CommandBody;
use imap_codec::imap_types::flag::StoreResponse;
use imap_codec::imap_types::mailbox::Mailbox;
use imap_codec::imap_types::response::{Code, Data};
use imap_codec::imap_types::sequence::SequenceSet;
use imap_codec::imap_types::status::StatusDataItemName;
use wm_core::Timestamp;
use wm_core::access::MailboxSession;
use wm_core::model::FolderRights;

use super::commands::{Outcome, done};
use super::failure::Failure;
use super::fetch::Fetch;
use super::flags::{self, Marks};
use super::folders::{self, Folders};
use super::output::Reply;
use super::search::Search;
use super::update::Update;
use super::view::{View, number};
use super::{Job, Session};

/// The rights of which one makes a mailbox writable.
const WRITING: [FolderRights; 4] = [
    FolderRights::EDIT_OWN,
    FolderRights::EDIT_ALL,
    FolderRights::DELETE_OWN,
    FolderRights::DELETE_ALL,
];

impl Session {
    /// A command about mailboxes as wholes.
    pub(super) async fn on_mailboxes(&mut self, body: CommandBody<'_>, now: Timestamp) -> Outcome {
        let name = body.name();
        let login = self.login.as_mut().ok_or(Failure::NotLoggedIn)?;
        if let CommandBody::Select { .. } | CommandBody::Examine { .. } = body {
            // Whatever comes of it (RFC 3501 §6.3.1).
            login.selected = None;
        }
        let (mailbox, out) = (&login.mailbox, &mut self.out);
        let folders = Folders::load(mailbox).await?;
        match body {
            CommandBody::Select { mailbox: which } => {
                return self.select(&folders, &which, false).await;
            }
            CommandBody::Examine { mailbox: which } => {
                return self.select(&folders, &which, true).await;
            }
            CommandBody::Create { mailbox: new } => folders.create(mailbox, &new, now).await?,
            CommandBody::Delete { mailbox: which } => {
                let gone = folders.delete(mailbox, &which, now).await?;
                login.selected.take_if(|view| view.folder() == gone);
            }
            CommandBody::Rename { from, to } => folders.rename(mailbox, &from, &to, now).await?,
            CommandBody::Subscribe { mailbox: which } => {
                folders.subscribe(mailbox, &which, true, now).await?;
            }
            CommandBody::Unsubscribe { mailbox: which } => {
                folders.subscribe(mailbox, &which, false, now).await?;
            }
            CommandBody::List {
                reference,
                mailbox_wildcard,
            } => folders.list(&reference, &mailbox_wildcard, false, out)?,
            CommandBody::Lsub {
                reference,
                mailbox_wildcard,
            } => folders.list(&reference, &mailbox_wildcard, true, out)?,
            CommandBody::Status {
                mailbox: which,
                item_names,
            } => {
                // Those of RFC 9208 are read but not offered.
                let unknown = |name: &StatusDataItemName| {
                    matches!(
                        name,
                        StatusDataItemName::Deleted | StatusDataItemName::DeletedStorage
                    )
                };
                if item_names.iter().any(unknown) {
                    return Ok(Reply::bad("Unknown status item"));
                }
                folders::status(folders.find(&which)?, which, &item_names, out);
            }
            _ => return Err(Failure::Cannot),
        }
        Ok(done(name))
    }

    async fn select(&mut self, folders: &Folders, name: &Mailbox<'_>, examine: bool) -> Outcome {
        let login = self.login.as_mut().ok_or(Failure::NotLoggedIn)?;
        let folder = folders.find(name)?;
        let rights = login.mailbox.rights(folder.id).await?;
        let writable = WRITING.into_iter().any(|right| rights.contains(right));
        let read_only = examine || !writable;
        let view = View::open(&login.mailbox, folder.id, read_only).await?;

        self.out.data(Data::Flags(flags::defined()));
        let count = u32::try_from(view.len()).unwrap_or(u32::MAX);
        self.out.data(Data::Exists(count));
        self.out.data(Data::Recent(0));
        let permanent = Code::PermanentFlags(flags::permanent(read_only));
        // Something may have come in since the folder was looked at.
        let after_last = view
            .last_uid()
            .and_then(|uid| uid.0.checked_add(1))
            .unwrap_or(folder.uid_next.0);
        if let Some(first) = view.first_unseen(&login.mailbox, folder).await? {
            let unseen = Reply::ok("First message not seen").with(Code::Unseen(first));
            self.out.status(None, unseen);
        }
        let codes = [
            ("Flags permitted", permanent),
            ("UIDs valid", Code::UidValidity(folder.uid_validity.0)),
            (
                "Predicted next UID",
                Code::UidNext(folder.uid_next.0.max(after_last)),
            ),
        ];
        for (text, code) in codes {
            self.out.status(None, Reply::ok(text).with(code));
        }
        login.selected = Some(view);
        Ok(match (examine, read_only) {
            (true, _) => done("EXAMINE").with(Code::ReadOnly),
            (false, true) => done("SELECT").with(Code::ReadOnly),
            (false, false) => done("SELECT").with(Code::ReadWrite),
        })
    }

    /// A command about the messages of the selected mailbox.
    pub(super) async fn on_messages(&mut self, body: CommandBody<'_>, now: Timestamp) -> Outcome {
        let name = body.name();
        match body {
            CommandBody::Check => self.selected().map(drop)?,
            CommandBody::Expunge => return self.expunge(None, now).await,
            CommandBody::Unselect => {
                self.selected()?;
                self.deselect();
            }
            CommandBody::Close => {
                let (_, view) = self.selected()?;
                let expunged = match view.is_read_only() {
                    true => Ok(()),
                    false => self.expunge(None, now).await.map(drop),
                };
                self.deselect();
                expunged?;
            }
            CommandBody::Fetch {
                sequence_set,
                macro_or_item_names,
                uid,
            } => {
                let (_, view) = self.selected()?;
                let places = view.resolve(&sequence_set, uid)?.list();
                let fetch = Fetch::new(macro_or_item_names, places, uid);
                self.jobs.push_back(Job::Fetch(Box::new(fetch)));
            }
            CommandBody::Search {
                charset,
                criteria,
                uid,
            } => {
                let (mailbox, view) = self.selected()?;
                let search = Search::new(&criteria, charset.as_ref(), view)?;
                let found = search.run(mailbox, view).await?;
                let numbers = match uid {
                    true => view.at(&found).iter().map(|(_, m)| m.uid.0).collect(),
                    false => found.into_iter().filter_map(number).collect(),
                };
                self.out.data(Data::Search(numbers));
            }
            CommandBody::Store {
                sequence_set,
                kind,
                response,
                flags,
                uid,
            } => {
                let silent = response == StoreResponse::Silent;
                let mut update = self.update(now)?;
                let places = update.view.resolve(&sequence_set, uid)?.list();
                let missing = update
                    .store(&places, kind, &Marks::of(&flags), silent)
                    .await?;
                if missing && !uid {
                    return Err(Failure::ExpungeIssued);
                }
            }
            CommandBody::Copy {
                sequence_set,
                mailbox: to,
                uid,
            } => {
                let (mailbox, view) = self.selected()?;
                let places = view.resolve(&sequence_set, uid)?.list();
                let to = target(mailbox, &to).await?;
                let operations = self.config.operations;
                let (mailbox, view) = self.selected()?;
                let mut update = Update {
                    mailbox,
                    view,
                    now,
                    operations,
                };
                let copied = update.copy(&places, &to).await?;
                if let Some(code) = copied.code(&to) {
                    return Ok(done(name).with_code(code));
                }
            }
            CommandBody::Move {
                sequence_set,
                mailbox: to,
                uid,
            } => {
                let mut update = self.update(now)?;
                let places = update.view.resolve(&sequence_set, uid)?.list();
                let to = target(update.mailbox, &to).await?;
                let moved = update.r#move(&places, &to).await?;
                if let Some(code) = moved.code(&to) {
                    // Before the EXPUNGE responses (RFC 6851 §4.3).
                    self.out.status(None, Reply::ok("Moved").with_code(code));
                }
            }
            _ => return Err(Failure::Cannot),
        }
        Ok(done(name))
    }

    /// EXPUNGE, or UID EXPUNGE.
    pub(super) async fn expunge(&mut self, set: Option<&SequenceSet>, now: Timestamp) -> Outcome {
        let mut update = self.update(now)?;
        let places = match set {
            Some(set) => update.view.resolve(set, true)?.list(),
            None => (0..update.view.len()).collect(),
        };
        update.expunge(&places).await?;
        Ok(done("EXPUNGE"))
    }

    /// The selected mailbox, to be changed.
    fn update(&mut self, now: Timestamp) -> Result<Update<'_>, Failure> {
        let operations = self.config.operations;
        let (mailbox, view) = self.selected()?;
        match view.is_read_only() {
            true => Err(Failure::ReadOnly),
            false => Ok(Update {
                mailbox,
                view,
                now,
                operations,
            }),
        }
    }

    fn selected(&mut self) -> Result<(&MailboxSession, &mut View), Failure> {
        let login = self.login.as_mut().ok_or(Failure::NotLoggedIn)?;
        let view = login.selected.as_mut().ok_or(Failure::NotSelected)?;
        Ok((&login.mailbox, view))
    }

    fn deselect(&mut self) {
        if let Some(login) = &mut self.login {
            login.selected = None;
        }
    }
}

/// The mailbox that messages are to be put into.
async fn target(
    mailbox: &MailboxSession,
    name: &Mailbox<'_>,
) -> Result<wm_core::model::Folder, Failure> {
    let folders = Folders::load(mailbox).await?;
    folders.find(name).map_err(Failure::of_target).cloned()
}
