//! The files of one exported mailbox.

use super::{ExportError, ExportFormat, io_error, write_json};
use serde::{Deserialize, Serialize};
use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Seek, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};
use wm_core::{
    FolderId, MailboxId, MailboxRef, OrganizationId,
    model::{Flags, Folder, FolderClass, FolderPermission, FolderRole, Item},
};

/// Where the content of an item is.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Place {
    /// The file, from the mailbox's directory.
    pub(crate) file: PathBuf,
    /// In an mbox, where its `From ` line begins.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) offset: Option<u64>,
}

/// The content of `mailbox.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct About {
    organization: OrganizationId,
    mailbox: MailboxId,
    /// Parents before children.
    pub(crate) folders: Vec<FolderEntry>,
}

/// A folder in `mailbox.json`.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct FolderEntry {
    path: PathBuf,
    pub(crate) id: FolderId,
    pub(crate) parent: Option<FolderId>,
    pub(crate) name: String,
    pub(crate) role: Option<FolderRole>,
    pub(crate) class: FolderClass,
    total: u64,
    unread: u64,
    pub(crate) subscribed: bool,
    pub(crate) permissions: Vec<FolderPermission>,
}

impl FolderEntry {
    /// Items it had.
    pub(crate) fn total(&self) -> u64 {
        self.total
    }
}

/// The directory of a mailbox that is being exported.
pub(super) struct MailboxFiles {
    root: PathBuf,
    format: ExportFormat,
    /// Where each folder is, from the root.
    places: BTreeMap<FolderId, PathBuf>,
    items: BufWriter<File>,
    folder: PathBuf,
    mbox: Option<BufWriter<File>>,
}

/// An item whose content is being written.
pub(super) struct Writing<'a> {
    path: PathBuf,
    place: Place,
    into: Into<'a>,
}

enum Into<'a> {
    /// A file of its own, still in `tmp`.
    File {
        file: BufWriter<File>,
        unfinished: PathBuf,
    },
    Mbox {
        file: &'a mut BufWriter<File>,
        begin: u64,
        /// The beginning of a line that may have to be quoted.
        line: Vec<u8>,
        ended: bool,
    },
}

impl MailboxFiles {
    pub(super) fn create(
        root: &Path,
        format: ExportFormat,
        folders: &[Folder],
    ) -> Result<Self, ExportError> {
        fs::create_dir_all(root).map_err(|source| io_error(root, source))?;
        let items = create(&root.join("items.jsonl"))?;
        Ok(Self {
            root: root.to_owned(),
            format,
            places: places(folders, format),
            items,
            folder: PathBuf::new(),
            mbox: None,
        })
    }

    /// Begins a folder.
    pub(super) fn begin(&mut self, folder: &Folder) -> Result<(), ExportError> {
        self.end_mbox()?;
        self.folder = self.places.get(&folder.id).cloned().unwrap_or_default();
        let path = self.root.join(&self.folder);
        match self.format {
            ExportFormat::Maildir => {
                for part in ["cur", "new", "tmp"] {
                    let part = path.join(part);
                    fs::create_dir_all(&part).map_err(|source| io_error(&part, source))?;
                }
            }
            ExportFormat::Mbox => self.mbox = Some(create(&path)?),
        }
        Ok(())
    }

    pub(super) fn item(&mut self, item: &Item) -> Result<Writing<'_>, ExportError> {
        if let Some(file) = &mut self.mbox {
            let path = self.root.join(&self.folder);
            let mut begin = || {
                let begin = file.stream_position()?;
                writeln!(
                    file,
                    "From MAILER-DAEMON {}",
                    asctime(item.received.as_seconds())
                )?;
                Ok(begin)
            };
            let begin = begin().map_err(|source| io_error(&path, source))?;
            return Ok(Writing {
                place: Place {
                    file: self.folder.clone(),
                    offset: Some(begin),
                },
                path,
                into: Into::Mbox {
                    file,
                    begin,
                    line: Vec::new(),
                    ended: true,
                },
            });
        }
        let base = format!("{}.{}.wm", item.received.as_seconds(), item.id);
        let name = format!("{base},S={}:2,{}", item.size, letters(item.flags));
        let place = self.folder.join("cur").join(name);
        let unfinished = self.root.join(&self.folder).join("tmp").join(base);
        Ok(Writing {
            path: self.root.join(&place),
            place: Place {
                file: place,
                offset: None,
            },
            into: Into::File {
                file: create(&unfinished)?,
                unfinished,
            },
        })
    }

    /// Adds a line about an item.
    pub(super) fn list(&mut self, line: &impl Serialize) -> Result<(), ExportError> {
        let written = serde_json::to_writer(&mut self.items, line).map_err(io::Error::from);
        let written = written.and_then(|()| self.items.write_all(b"\n"));
        written.map_err(|source| io_error(&self.root.join("items.jsonl"), source))
    }

    pub(super) fn finish(
        mut self,
        folders: &[Folder],
        mailbox: MailboxRef,
    ) -> Result<(), ExportError> {
        self.end_mbox()?;
        let flushed = self.items.flush();
        flushed.map_err(|source| io_error(&self.root.join("items.jsonl"), source))?;
        let entries = folders.iter().map(|folder| FolderEntry {
            path: self.places.get(&folder.id).cloned().unwrap_or_default(),
            id: folder.id,
            parent: folder.parent,
            name: folder.name.clone(),
            role: folder.role,
            class: folder.class.clone(),
            total: folder.total,
            unread: folder.unread,
            subscribed: folder.subscribed,
            permissions: folder.permissions.clone(),
        });
        let all = About {
            organization: mailbox.organization,
            mailbox: mailbox.mailbox,
            folders: entries.collect(),
        };
        write_json(&self.root.join("mailbox.json"), &all)
    }

    fn end_mbox(&mut self) -> Result<(), ExportError> {
        let ended = self.mbox.take().map_or(Ok(()), |mut mbox| mbox.flush());
        ended.map_err(|source| io_error(&self.root.join(&self.folder), source))
    }
}

impl Writing<'_> {
    pub(super) fn write(&mut self, piece: &[u8]) -> Result<(), ExportError> {
        let written = match &mut self.into {
            Into::File { file, .. } => file.write_all(piece),
            Into::Mbox {
                file, line, ended, ..
            } => write_quoted(file, line, ended, piece),
        };
        written.map_err(|source| io_error(&self.path, source))
    }

    pub(super) fn finish(self) -> Result<Place, ExportError> {
        let finish = || match self.into {
            Into::File { file, unfinished } => {
                file.into_inner().map_err(io::IntoInnerError::into_error)?;
                fs::rename(unfinished, &self.path)
            }
            Into::Mbox {
                file, line, ended, ..
            } => {
                file.write_all(&line)?;
                file.write_all(if ended && line.is_empty() {
                    b"\n"
                } else {
                    b"\n\n"
                })
            }
        };
        finish().map_err(|source| io_error(&self.path, source))?;
        Ok(self.place)
    }

    /// Takes back what was written of an item whose content is damaged.
    pub(super) fn give_up(self) -> Result<(), ExportError> {
        let give_up = || match self.into {
            Into::File { file, unfinished } => {
                drop(file);
                fs::remove_file(unfinished)
            }
            Into::Mbox { file, begin, .. } => {
                file.flush()?;
                file.get_ref().set_len(begin)?;
                file.seek(io::SeekFrom::Start(begin)).map(drop)
            }
        };
        give_up().map_err(|source| io_error(&self.path, source))
    }
}

/// Writes lines with `>` in front of those that a reader would take for the next message's first.
/// `line` holds what is not yet known to be one of them.
fn write_quoted(
    file: &mut BufWriter<File>,
    line: &mut Vec<u8>,
    at_line_start: &mut bool,
    piece: &[u8],
) -> io::Result<()> {
    const FROM: &[u8] = b"From ";
    for part in piece.split_inclusive(|byte| *byte == b'\n') {
        if !*at_line_start {
            file.write_all(part)?;
            *at_line_start = part.ends_with(b"\n");
            continue;
        }
        line.extend_from_slice(part);
        let quotes = line.iter().take_while(|byte| **byte == b'>').count();
        let rest = line.get(quotes..).unwrap_or_default();
        let open = FROM.starts_with(rest) && rest.len() < FROM.len();
        if open && !part.ends_with(b"\n") {
            continue;
        }
        if rest.starts_with(FROM) {
            file.write_all(b">")?;
        }
        file.write_all(line)?;
        *at_line_start = line.ends_with(b"\n");
        line.clear();
    }
    Ok(())
}

/// Where each folder goes: no two to one place.
fn places(folders: &[Folder], format: ExportFormat) -> BTreeMap<FolderId, PathBuf> {
    let mut names: BTreeMap<FolderId, String> = BTreeMap::new();
    let mut taken = BTreeSet::new();
    let mut places = BTreeMap::new();
    // Parents come before their children.
    for folder in folders {
        let own = file_name(&folder.name).replace('.', "_");
        let above = folder.parent.and_then(|parent| names.get(&parent));
        let mut name = above.map_or_else(|| own.clone(), |above| format!("{above}.{own}"));
        if !taken.insert(name.to_lowercase()) {
            name = format!("{name}-{}", folder.id);
            taken.insert(name.to_lowercase());
        }
        let place = match format {
            ExportFormat::Maildir if folder.role == Some(FolderRole::Inbox) => PathBuf::new(),
            ExportFormat::Maildir => format!(".{name}").into(),
            ExportFormat::Mbox => format!("{name}.mbox").into(),
        };
        places.insert(folder.id, place);
        names.insert(folder.id, name);
    }
    places
}

/// A name as file systems take it: no separators, no control characters, not too long, nothing that
/// is hidden or means another directory.
pub(super) fn file_name(name: &str) -> String {
    let plain = |c: char| match c {
        '/' | '\\' | ':' => '_',
        c if c.is_control() => '_',
        c => c,
    };
    let mut out = String::new();
    for c in name.trim().chars().map(plain) {
        if out.len() + c.len_utf8() > 100 {
            break;
        }
        out.push(c);
    }
    match out.starts_with('.') || out.is_empty() {
        true => format!("_{out}"),
        false => out,
    }
}

/// The info letters of a Maildir, in their order.
fn letters(flags: Flags) -> String {
    let letters = [
        (Flags::DRAFT, 'D'),
        (Flags::FLAGGED, 'F'),
        (Flags::FORWARDED, 'P'),
        (Flags::ANSWERED, 'R'),
        (Flags::READ, 'S'),
    ];
    let set = letters.iter().filter(|(flag, _)| flags.contains(*flag));
    set.map(|(_, letter)| letter).collect()
}

/// A time as the first line of an mbox entry has it: `Mon Jan  2 15:04:05 2006`.
fn asctime(seconds: i64) -> String {
    const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (days, time) = (seconds.div_euclid(86_400), seconds.rem_euclid(86_400));
    // Days since 0000-03-01, in eras of 400 years: leap days come last in such a year.
    let since = days + 719_468;
    let (era, of_era) = (since.div_euclid(146_097), since.rem_euclid(146_097));
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * from_march + 2) / 5 + 1;
    let month = (from_march + 2) % 12;
    let year = year + era * 400 + i64::from(month < 2);
    let name = |names: &[&'static str], at: i64| {
        let at = usize::try_from(at).unwrap_or_default();
        names.get(at).copied().unwrap_or_default()
    };
    format!(
        "{} {} {day:>2} {:02}:{:02}:{:02} {year}",
        name(&DAYS, days.rem_euclid(7)),
        name(&MONTHS, month),
        time / 3600,
        time / 60 % 60,
        time % 60,
    )
}

fn create(path: &Path) -> Result<BufWriter<File>, ExportError> {
    // Mail is private.
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(0o600);
    let file = options
        .open(path)
        .map_err(|source| io_error(path, source))?;
    Ok(BufWriter::new(file))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_written_as_mbox_has_them() {
        for (seconds, text) in [
            (0, "Thu Jan  1 00:00:00 1970"),
            (951_782_400, "Tue Feb 29 00:00:00 2000"),
            (1_800_000_000, "Fri Jan 15 08:00:00 2027"),
            (-1, "Wed Dec 31 23:59:59 1969"),
        ] {
            assert_eq!(asctime(seconds), text);
        }
    }

    #[test]
    fn names_stay_inside_the_directory() {
        for (name, file) in [
            ("..", "_.."),
            ("a/b", "a_b"),
            ("", "_"),
            ("Büro", "Büro"),
            ("x\0y", "x_y"),
        ] {
            assert_eq!(file_name(name), file);
        }
    }
}
