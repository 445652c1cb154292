//! Messages in files: single messages, mbox files (RFC 4155, `From_` lines quoted as "mboxrd" has
//! it), Maildir folders. Line ends become CRLF, the internet format.

use std::fs::{self, File};
use std::io::{self, BufRead, BufReader, Read};
use std::path::{Path, PathBuf};

use anyhow::Context;

/// Files that hold messages.
#[derive(Debug, Default)]
pub(crate) struct Sources {
    files: Vec<Source>,
    octets: u64,
}

/// A message found in a file.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Message {
    /// Where it was found, for people.
    pub(crate) origin: String,
    /// The message; `None` when it is larger than the limit.
    pub(crate) content: Option<Vec<u8>>,
    /// The octets it takes in its file.
    pub(crate) read: u64,
}

#[derive(Debug)]
struct Source {
    path: PathBuf,
    is_mbox: bool,
}

impl Sources {
    /// Looks at what the paths name, before anything is read: a message, an mbox file, or a Maildir
    /// folder (without its subfolders).
    pub(crate) fn find(paths: &[PathBuf]) -> anyhow::Result<Self> {
        let mut sources = Self::default();
        for path in paths {
            let added = if path.is_dir() {
                sources.add_maildir(path)
            } else {
                sources.add_file(path.clone())
            };
            added.with_context(|| format!("cannot read {}", path.display()))?;
        }
        Ok(sources)
    }

    /// The octets of all files together.
    pub(crate) fn octets(&self) -> u64 {
        self.octets
    }

    /// The messages, one after the other, each of at most `limit` octets.
    pub(crate) fn messages(self, limit: usize) -> impl Iterator<Item = anyhow::Result<Message>> {
        self.files.into_iter().flat_map(move |source| {
            let name = source.path.display().to_string();
            let (reader, failure) = match File::open(&source.path) {
                Ok(file) => (
                    Some(Reader::new(BufReader::new(file), limit, source.is_mbox)),
                    None,
                ),
                Err(error) => (None, Some(Err(error))),
            };
            let found = failure.into_iter().chain(reader.into_iter().flatten());
            found.enumerate().map(move |(index, found)| {
                let (content, read) = found.with_context(|| format!("cannot read {name}"))?;
                let origin = if source.is_mbox {
                    format!("{name}, message {}", index + 1)
                } else {
                    name.clone()
                };
                Ok(Message {
                    origin,
                    content,
                    read,
                })
            })
        })
    }

    fn add_file(&mut self, path: PathBuf) -> anyhow::Result<()> {
        let file = File::open(&path)?;
        self.octets += file.metadata()?.len();
        let mut start = Vec::new();
        file.take(FROM.len() as u64).read_to_end(&mut start)?;
        let is_mbox = start == FROM;
        self.files.push(Source { path, is_mbox });
        Ok(())
    }

    fn add_maildir(&mut self, path: &Path) -> anyhow::Result<()> {
        let folders = [path.join("cur"), path.join("new")];
        anyhow::ensure!(
            folders.iter().all(|folder| folder.is_dir()),
            "a directory has to be a Maildir, with the folders cur and new"
        );
        for folder in folders {
            let mut files = fs::read_dir(folder)?
                .map(|entry| Ok(entry?.path()))
                .collect::<io::Result<Vec<_>>>()?;
            files.retain(|file| file.is_file() && !is_hidden(file));
            files.sort();
            for path in files {
                self.octets += path.metadata()?.len();
                self.files.push(Source {
                    path,
                    is_mbox: false,
                });
            }
        }
        Ok(())
    }
}

/// Begins a message in an mbox; also the start by which an mbox is known.
const FROM: &[u8] = b"From ";

/// Reads the messages of one file; holds no more than one of them, nor more of it than the limit.
struct Reader<R> {
    input: R,
    limit: usize,
    is_mbox: bool,
    begun: bool,
    ended: bool,
}

/// A message, unless too large, and what it takes in the file.
type Found = (Option<Vec<u8>>, u64);

impl<R: BufRead> Reader<R> {
    fn new(input: R, limit: usize, is_mbox: bool) -> Self {
        Self {
            input,
            limit,
            is_mbox,
            begun: false,
            ended: false,
        }
    }

    /// In an mbox a message ends before a `From_` line that follows an empty line; neither of the
    /// two lines belongs to a message.
    fn read_message(&mut self) -> io::Result<Found> {
        let (mut line, mut content, mut read) = (Vec::new(), Some(Vec::new()), 0);
        if self.is_mbox && !self.begun {
            read += self.read_line(&mut line)?;
        }
        self.begun = true;
        let mut after_empty = false;
        loop {
            line.clear();
            let got = self.read_line(&mut line)?;
            read += got;
            self.ended = got == 0;
            if self.ended || self.is_mbox && after_empty && line.starts_with(FROM) {
                break;
            }
            after_empty = matches!(line.as_slice(), b"\n" | b"\r\n");
            let quotes = usize::from(self.is_mbox && is_quoted(&line));
            append(&mut content, line.get(quotes..).unwrap_or_default());
            content = content.filter(|content| content.len() <= self.limit + CRLF.len());
        }
        if let Some(content) = &mut content
            && self.is_mbox
            && after_empty
        {
            content.truncate(content.len() - CRLF.len());
        }
        Ok((content.filter(|content| content.len() <= self.limit), read))
    }

    /// Reads a line, or as much of it as makes the message too large.
    fn read_line(&mut self, line: &mut Vec<u8>) -> io::Result<u64> {
        let most = self.limit as u64 + FROM.len() as u64;
        let got = (&mut self.input).take(most).read_until(b'\n', line)?;
        Ok(got as u64)
    }
}

impl<R: BufRead> Iterator for Reader<R> {
    type Item = io::Result<Found>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let found = self.read_message();
        match &found {
            Ok((_, 0)) => return None,
            Ok(_) => {}
            Err(_) => self.ended = true,
        }
        Some(found)
    }
}

const CRLF: &[u8] = b"\r\n";

/// Adds a line, its end made CRLF.
fn append(content: &mut Option<Vec<u8>>, line: &[u8]) {
    let Some(content) = content else { return };
    match line.strip_suffix(b"\n") {
        Some(text) => {
            content.extend_from_slice(text.strip_suffix(b"\r").unwrap_or(text));
            content.extend_from_slice(CRLF);
        }
        None => content.extend_from_slice(line),
    }
}

/// Whether the line is a `From_` line that was quoted with one more `>`.
fn is_quoted(line: &[u8]) -> bool {
    let quotes = line.iter().take_while(|&&octet| octet == b'>').count();
    quotes > 0
        && line
            .get(quotes..)
            .is_some_and(|rest| rest.starts_with(FROM))
}

fn is_hidden(path: &Path) -> bool {
    path.file_name()
        .is_some_and(|name| name.as_encoded_bytes().starts_with(b"."))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mbox(text: &str, limit: usize) -> Vec<Option<String>> {
        Reader::new(text.as_bytes(), limit, true)
            .map(|found| {
                found
                    .unwrap()
                    .0
                    .map(|content| String::from_utf8(content).unwrap())
            })
            .collect()
    }

    #[test]
    fn an_mbox_is_divided_at_from_lines_after_an_empty_line() {
        let text =
            "From a@x Mon\nSubject: 1\n\nOne\nFrom here on\n\nFrom b@x Tue\nSubject: 2\n\nTwo\n\n";
        let messages = [
            Some("Subject: 1\r\n\r\nOne\r\nFrom here on\r\n".into()),
            Some("Subject: 2\r\n\r\nTwo\r\n".into()),
        ];
        assert_eq!(mbox(text, 1000), messages);
    }

    #[test]
    fn a_quoted_from_line_loses_one_quote() {
        let text = "From a@x Mon\nSubject: 1\n\n>From me\n>>From you\n> From us\n";
        let expected = "Subject: 1\r\n\r\nFrom me\r\n>From you\r\n> From us\r\n";
        assert_eq!(mbox(text, 1000), [Some(expected.into())]);
    }

    #[test]
    fn crlf_files_and_a_missing_last_line_end_are_kept_as_they_are() {
        let text =
            "From a@x Mon\r\nSubject: 1\r\n\r\nOne\r\n\r\nFrom b@x Tue\r\nSubject: 2\r\n\r\nTwo";
        let messages = [
            Some("Subject: 1\r\n\r\nOne\r\n".into()),
            Some("Subject: 2\r\n\r\nTwo".into()),
        ];
        assert_eq!(mbox(text, 1000), messages);
    }

    #[test]
    fn a_message_over_the_limit_is_left_out_and_the_next_one_read() {
        let text = format!("From a@x\n\n{}\n\nFrom b@x\n\nsmall\n\n", "x".repeat(100));
        assert_eq!(mbox(&text, 20), [None, Some("\r\nsmall\r\n".into())]);
        let exactly = "From b@x\n\nsmall\n\n";
        assert_eq!(
            mbox(exactly, "\r\nsmall\r\n".len()),
            [Some("\r\nsmall\r\n".into())]
        );
        assert_eq!(mbox(exactly, "\r\nsmall\r\n".len() - 1), [None]);
    }

    #[test]
    fn a_maildir_gives_the_messages_of_cur_and_new() {
        let dir = tempfile::tempdir().unwrap();
        for folder in ["cur", "new", "tmp"] {
            fs::create_dir(dir.path().join(folder)).unwrap();
            fs::write(
                dir.path().join(folder).join("1"),
                format!("Subject: {folder}\n\n"),
            )
            .unwrap();
        }
        fs::write(dir.path().join("cur/.hidden"), "no message").unwrap();
        let sources = Sources::find(&[dir.path().into()]).unwrap();
        assert_eq!(sources.octets(), 28);
        let found: Vec<_> = sources
            .messages(1000)
            .map(|found| found.unwrap().content.unwrap())
            .collect();
        assert_eq!(found, [b"Subject: cur\r\n\r\n", b"Subject: new\r\n\r\n"]);
    }

    #[test]
    fn a_directory_that_is_no_maildir_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        let error = Sources::find(&[dir.path().into()]).unwrap_err();
        assert!(
            format!("{error:#}").contains("has to be a Maildir"),
            "{error:#}"
        );
    }
}
