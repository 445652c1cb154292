//! Power cuts, simulated: what a process did to its files is recorded, and any moment of it can be
//! turned into a directory as a disk might show it after the power went at that moment.
//!
//! What was synced is there. Of what was not, each page (4 KiB) of a file has any of the contents it
//! had since, or at times a torn mixture of two; the file's length is any that it had since.
//! Creations, renames and removals are kept up to some moment since a directory was last synced, as
//! by a file system with a journal.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File as OpenFile, OpenOptions},
    io::Write,
    ops::Range,
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::Instant,
};
use tempfile::TempDir;

const PAGE: usize = 4096;
const SECTOR: usize = 512;
/// Stands for the inode of every directory; the name of one ends in a slash.
const DIRECTORY: u64 = 0;

/// Cuts made of each run of a workload.
const CUTS_PER_RUN: usize = 5;
/// Runs that go on from what a cut of the one before left, until one begins afresh: what is checked
/// after each cut does not grow without end.
const RUNS_PER_STORE: usize = 6;
/// Campaigns that go on at the same time, each with a part of the cuts.
const LANES: u64 = 2;
/// The file in which a workload notes what was acknowledged.
const NOTES: &str = "acknowledged";

/// What came of a campaign.
#[derive(Default)]
pub struct Outcome {
    pub cuts: u64,
    pub failures: Vec<String>,
}

/// How many cuts to make, unless `WM_POWER_CUTS` says otherwise.
pub fn cuts(default: u64) -> u64 {
    env::var("WM_POWER_CUTS").map_or(default, |text| text.parse().unwrap())
}

/// What chance depends on: `WM_POWER_SEED`, or 1.
pub fn seed() -> u64 {
    env::var("WM_POWER_SEED").map_or(1, |text| text.parse().unwrap())
}

/// Runs this test program's `workload` on a directory, cuts the power many times at random moments
/// of that, has each outcome checked, and goes on from one of them; until there were as many cuts as
/// asked for. `begin` gets a seed and answers what the workload is told, and the check: that gets
/// the directory and the notes of what had been acknowledged by then.
pub fn campaign<C>(what: &str, cuts: u64, begin: impl Fn(u64) -> (String, C) + Sync) -> Outcome
where
    C: FnMut(&Path, &[u8]) -> Result<(), String>,
{
    let begun = Instant::now();
    let outcome = in_lanes(cuts, false, begin);
    println!(
        "{what}: {} cuts with seed {}, {} of them bad, in {} s",
        outcome.cuts,
        seed(),
        outcome.failures.len(),
        begun.elapsed().as_secs()
    );
    outcome
}

/// Whether a campaign of at most so many cuts notices that something is wrong; true where there can be
/// no campaign.
pub fn is_noticed<C>(cuts: u64, begin: impl Fn(u64) -> (String, C) + Sync) -> bool
where
    C: FnMut(&Path, &[u8]) -> Result<(), String>,
{
    let outcome = in_lanes(cuts, true, begin);
    outcome.cuts == 0 || !outcome.failures.is_empty()
}

fn in_lanes<C>(
    cuts: u64,
    until_one_is_bad: bool,
    begin: impl Fn(u64) -> (String, C) + Sync,
) -> Outcome
where
    C: FnMut(&Path, &[u8]) -> Result<(), String>,
{
    let mut outcome = Outcome::default();
    let scratch = scratch();
    let Some(recorder) = recorder(scratch.path()) else {
        return outcome;
    };
    let (begin, recorder, scratch) = (&begin, &recorder, scratch.path());
    let lanes = thread::scope(|scope| {
        let lane = |number: u64| {
            let share = cuts / LANES + u64::from(number < cuts % LANES);
            let directory = scratch.join(number.to_string());
            scope.spawn(move || {
                let seed = seed() * LANES + number;
                let (run, check) = begin(seed);
                Lane::new(directory, recorder, seed).campaign(&run, share, until_one_is_bad, check)
            })
        };
        let lanes: Vec<_> = (0..LANES).map(lane).collect();
        lanes
            .into_iter()
            .map(|lane| lane.join().unwrap())
            .collect::<Vec<_>>()
    });
    for lane in lanes {
        outcome.cuts += lane.cuts;
        outcome.failures.extend(lane.failures);
    }
    outcome
}

/// A directory in memory where there is one: syncs cost nothing there, and none of them is needed.
fn scratch() -> TempDir {
    let memory = tempfile::tempdir_in("/dev/shm");
    memory.unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

struct Lane<'a> {
    directory: PathBuf,
    recorder: &'a Path,
    random: Random,
}

impl<'a> Lane<'a> {
    fn new(directory: PathBuf, recorder: &'a Path, seed: u64) -> Self {
        fs::create_dir(&directory).unwrap();
        Self {
            directory,
            recorder,
            random: Random::new(seed),
        }
    }

    fn campaign(
        mut self,
        run: &str,
        cuts: u64,
        until_one_is_bad: bool,
        mut check: impl FnMut(&Path, &[u8]) -> Result<(), String>,
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let [base, next, live, cut] =
            ["base", "next", "live", "cut"].map(|name| self.directory.join(name));
        let mut runs = 0;
        while outcome.cuts < cuts && (outcome.failures.is_empty() || !until_one_is_bad) {
            if runs % RUNS_PER_STORE == 0 {
                let _ = fs::remove_dir_all(&base);
                fs::create_dir(&base).unwrap();
            }
            runs += 1;
            copy(&base, &live);
            let mut workload = Command::new(env::current_exe().unwrap());
            workload.args(["--exact", "workload", "--ignored"]);
            workload.env("WM_POWER_RUN", run);
            let recording = Recording::of(&mut workload, &live, self.recorder);
            fs::remove_dir_all(&live).unwrap();

            let heir = self.random.below(CUTS_PER_RUN);
            let mut disk = recording.begin();
            let mut done = 0;
            for (number, at) in recording.moments(&mut self.random).into_iter().enumerate() {
                outcome.cuts += 1;
                recording.events[done..at]
                    .iter()
                    .for_each(|event| disk.apply(event));
                done = at;
                disk.cut(&mut self.random, &cut);
                let notes = disk.content(NOTES);
                fs::write(cut.join(NOTES), &notes).unwrap();
                if number == heir {
                    copy(&cut, &next);
                }
                match check(&cut, &notes) {
                    Ok(()) if number == heir => {
                        fs::remove_dir_all(&base).unwrap();
                        fs::rename(&next, &base).unwrap();
                    }
                    Ok(()) => {}
                    Err(problem) => outcome.failures.push(format!(
                        "{run}, cut {} before event {at} of {}: {problem}",
                        outcome.cuts,
                        recording.events.len()
                    )),
                }
                fs::remove_dir_all(&cut).unwrap();
                if until_one_is_bad && !outcome.failures.is_empty() || outcome.cuts == cuts {
                    break;
                }
            }
            let _ = fs::remove_dir_all(&next);
            if runs % 10 == 0 {
                println!(
                    "{run}: {} cuts so far, {} of them bad",
                    outcome.cuts,
                    outcome.failures.len()
                );
            }
        }
        outcome
    }
}

/// What a workload asked the disk for between the notes `from here` and `to here`.
#[allow(dead_code, reason = "not every workload is counted")]
pub struct Syncs {
    pub ended: usize,
    pub notes: String,
}

/// Runs this test program's `workload` and counts its syncs; `None` where it cannot be recorded.
#[allow(dead_code, reason = "not every workload is counted")]
pub fn syncs(run: &str) -> Option<Syncs> {
    let scratch = scratch();
    let recorder = recorder(scratch.path())?;
    let live = scratch.path().join("live");
    fs::create_dir(&live).unwrap();
    let mut workload = Command::new(env::current_exe().unwrap());
    workload.args(["--exact", "workload", "--ignored"]);
    workload.env("WM_POWER_RUN", run);
    let recording = Recording::of(&mut workload, &live, &recorder);
    let noted = |text: &'static [u8]| {
        let is_note =
            |event: &Event| matches!(event, Event::Write(_, _, bytes) if bytes.starts_with(text));
        recording.events.iter().position(is_note).unwrap()
    };
    let events = &recording.events[noted(b"from here")..noted(b"to here")];
    let count = |which: fn(&Event) -> bool| events.iter().filter(|event| which(event)).count();
    Some(Syncs {
        ended: count(|event| matches!(event, Event::SyncEnded(_))),
        notes: fs::read_to_string(live.join(NOTES)).unwrap(),
    })
}

/// In the workload: what was asked for, and the directory to work in.
pub fn run() -> (String, PathBuf) {
    let directory = env::var("POWER_ROOT").unwrap().into();
    (env::var("WM_POWER_RUN").unwrap(), directory)
}

/// In the workload: where to note what was acknowledged, each time with one write.
pub fn notes(directory: &Path) -> OpenFile {
    let mut options = OpenOptions::new();
    options
        .create(true)
        .append(true)
        .open(directory.join(NOTES))
        .unwrap()
}

/// In the workload: what was noted before it began.
#[allow(dead_code, reason = "not every workload looks at it")]
pub fn noted(directory: &Path) -> Vec<u8> {
    fs::read(directory.join(NOTES)).unwrap_or_default()
}

/// Builds the recorder; `None`, with a message, where there is no C compiler.
fn recorder(directory: &Path) -> Option<PathBuf> {
    let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/power/recorder.c");
    let library = directory.join("recorder.so");
    let built = Command::new("cc")
        .args(["-O2", "-shared", "-fPIC", "-Wall", "-Werror", "-o"])
        .args([library.as_os_str(), source.as_ref()])
        .args(["-ldl", "-lpthread"])
        .status();
    match built {
        Ok(status) => {
            assert!(status.success(), "the recorder does not compile");
            Some(library)
        }
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "no C compiler: {error}");
            println!("skipped: no C compiler ({error})");
            None
        }
    }
}

/// What was done to the files below a directory, in order.
struct Recording {
    /// The files as they were before, durable, by path: inode and content.
    before: BTreeMap<String, (u64, Vec<u8>)>,
    events: Vec<Event>,
}

#[derive(Clone)]
enum Event {
    Create(u64, String),
    Rename(String, String),
    Unlink(String),
    MakeDirectory(String),
    Write(u64, u64, Vec<u8>),
    Truncate(u64, u64),
    SyncBegins(u64, u64),
    SyncEnded(u64),
}

impl Recording {
    /// Runs `command` and records what it does to the files below `directory`.
    fn of(command: &mut Command, directory: &Path, recorder: &Path) -> Self {
        let mut before = BTreeMap::new();
        for path in files_below(directory) {
            let name = path.strip_prefix(directory).unwrap().to_str().unwrap();
            if path.is_dir() {
                before.insert(format!("{name}/"), (DIRECTORY, Vec::new()));
            } else {
                let inode = fs::metadata(&path).unwrap().ino();
                before.insert(name.to_owned(), (inode, fs::read(path).unwrap()));
            }
        }
        let log = directory.with_extension("log");
        let output = command
            .env("LD_PRELOAD", recorder)
            .env("POWER_ROOT", directory)
            .env("POWER_LOG", &log)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
        let bytes = fs::read(&log).unwrap();
        fs::remove_file(log).unwrap();
        Self {
            before,
            events: parse(&bytes),
        }
    }

    /// When to cut the power, each time before an event or after the last, in order. One of three is
    /// about when a file was made, renamed or removed.
    fn moments(&self, random: &mut Random) -> Vec<usize> {
        let landmark = |event: &Event| {
            matches!(
                event,
                Event::Create(..) | Event::Rename(..) | Event::Unlink(..)
            )
        };
        let numbered = self.events.iter().enumerate();
        let landmarks: Vec<usize> = numbered
            .filter(|(_, event)| landmark(event))
            .map(|(number, _)| number)
            .collect();
        let mut moment = || match random.below(3) {
            0 if !landmarks.is_empty() => {
                let near = landmarks[random.below(landmarks.len())] + random.below(8);
                near.saturating_sub(3).min(self.events.len())
            }
            _ => random.below(self.events.len() + 1),
        };
        let mut moments: Vec<_> = (0..CUTS_PER_RUN).map(|_| moment()).collect();
        moments.sort_unstable();
        moments
    }

    /// The disk before the first event.
    fn begin(&self) -> Disk {
        let mut disk = Disk::default();
        for (path, (inode, content)) in &self.before {
            let file = disk.create(*inode, content.clone());
            disk.names.insert(path.clone(), file);
        }
        disk.durable_names = disk.names.clone();
        disk
    }
}

fn parse(bytes: &[u8]) -> Vec<Event> {
    let mut rest = bytes;
    let mut events = Vec::new();
    while let Some((head, after)) = rest.split_first_chunk::<25>() {
        let number = |at: usize| u64::from_le_bytes(head[at..at + 8].try_into().unwrap());
        let (file, offset, length) = (number(1), number(9), number(17));
        let (body, after) = after.split_at(length as usize);
        rest = after;
        let text = || String::from_utf8(body.to_vec()).unwrap();
        events.push(match head[0] {
            b'C' => Event::Create(file, text()),
            b'R' => {
                let text = text();
                let (old, new) = text.split_once('\0').unwrap();
                Event::Rename(old.into(), new.into())
            }
            b'U' => Event::Unlink(text()),
            b'D' => Event::MakeDirectory(text()),
            b'W' => Event::Write(file, offset, body.to_vec()),
            b'T' => Event::Truncate(file, offset),
            b'S' => Event::SyncBegins(file, offset),
            b'E' => Event::SyncEnded(offset),
            kind => panic!("a record of kind {kind}"),
        });
    }
    events
}

#[derive(Default)]
struct Disk {
    files: BTreeMap<u64, File>,
    /// The file that has each inode now; a number is used again when its file is gone.
    inodes: BTreeMap<u64, u64>,
    names: BTreeMap<String, u64>,
    /// The names as of the last sync of a directory, and every state of them since.
    durable_names: BTreeMap<String, u64>,
    names_since: Vec<BTreeMap<String, u64>>,
    /// Changes of the names ever made durable.
    names_synced: usize,
    /// By number of the sync: its file, unless it is that of a directory, and how many changes of
    /// the file and of the names it covers.
    begun: BTreeMap<u64, (Option<u64>, usize, usize)>,
}

/// A file: what is durable of it and what was done since.
struct File {
    durable: Vec<u8>,
    pending: Vec<Change>,
    /// Changes ever made durable: the place of the first pending one.
    synced: usize,
}

#[derive(Clone)]
enum Change {
    Write(u64, Vec<u8>),
    Truncate(u64),
}

impl Disk {
    /// What `path` holds, as the process sees it.
    fn content(&self, path: &str) -> Vec<u8> {
        let file = self.names.get(path).map(|file| &self.files[file]);
        file.map(File::newest).unwrap_or_default()
    }

    /// Writes what the disk might show after a power cut now into `directory`.
    fn cut(&self, random: &mut Random, directory: &Path) {
        // How much the disk had got round to, in percent.
        let progress = [0, 0, 20, 50, 80, 95, 100, 100][random.below(8)];
        fs::create_dir(directory).unwrap();
        for (path, file) in self.some_names(random) {
            let path = directory.join(path);
            match *file {
                DIRECTORY => fs::create_dir_all(path).unwrap(),
                file => {
                    fs::create_dir_all(path.parent().unwrap()).unwrap();
                    let content = self.files[&file].after_cut(progress, random);
                    let mut options = OpenOptions::new();
                    options.write(true).create_new(true).mode(0o600);
                    options.open(path).unwrap().write_all(&content).unwrap();
                }
            }
        }
    }

    fn apply(&mut self, event: &Event) {
        match event {
            Event::Create(inode, path) => {
                let file = self.create(*inode, Vec::new());
                self.rename(|names| {
                    names.insert(path.clone(), file);
                });
            }
            Event::Rename(old, new) => self.rename(|names| {
                let file = names.remove(old).unwrap();
                names.insert(new.clone(), file);
            }),
            Event::Unlink(path) => {
                let gone = self.names[path];
                self.inodes.retain(|_, file| *file != gone);
                self.rename(|names| {
                    names.remove(path);
                });
            }
            Event::MakeDirectory(path) => self.rename(|names| {
                names.insert(format!("{path}/"), DIRECTORY);
            }),
            Event::Write(file, offset, bytes) => {
                self.file(*file)
                    .pending
                    .push(Change::Write(*offset, bytes.clone()));
            }
            Event::Truncate(file, length) => {
                self.file(*file).pending.push(Change::Truncate(*length));
            }
            Event::SyncBegins(inode, number) => {
                let file = self.inodes.get(inode).copied();
                let changes = file.map_or(0, |file| self.files[&file].changes());
                let names = self.names_synced + self.names_since.len();
                self.begun.insert(*number, (file, changes, names));
            }
            Event::SyncEnded(number) => match self.begun.remove(number).unwrap() {
                (Some(file), changes, _) => self.files.get_mut(&file).unwrap().sync(changes),
                (None, _, names) => self.sync_names(names),
            },
        }
    }

    fn create(&mut self, inode: u64, content: Vec<u8>) -> u64 {
        if inode == DIRECTORY {
            return DIRECTORY;
        }
        let file = DIRECTORY + 1 + self.files.len() as u64;
        self.files.insert(file, File::durable(content));
        self.inodes.insert(inode, file);
        file
    }

    /// Makes the first `changes` of the names durable, as counted when the sync began.
    fn sync_names(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.names_synced);
        if let Some(newest) = self.names_since.drain(..count).next_back() {
            self.durable_names = newest;
        }
        self.names_synced += count;
    }

    fn file(&mut self, inode: u64) -> &mut File {
        let file = self
            .inodes
            .get(&inode)
            .expect("a file that was there or has been created");
        self.files.get_mut(file).unwrap()
    }

    fn rename(&mut self, change: impl FnOnce(&mut BTreeMap<String, u64>)) {
        change(&mut self.names);
        self.names_since.push(self.names.clone());
    }

    fn some_names(&self, random: &mut Random) -> &BTreeMap<String, u64> {
        match random.below(self.names_since.len() + 1).checked_sub(1) {
            None => &self.durable_names,
            Some(number) => &self.names_since[number],
        }
    }
}

impl File {
    fn durable(content: Vec<u8>) -> Self {
        Self {
            durable: content,
            pending: Vec::new(),
            synced: 0,
        }
    }

    /// Makes the first `changes` durable, as counted when the sync began: others may have ended
    /// since.
    fn sync(&mut self, changes: usize) {
        let count = changes.saturating_sub(self.synced);
        let covered: Vec<_> = self.pending.drain(..count).collect();
        covered
            .iter()
            .for_each(|change| change.apply(&mut self.durable));
        self.synced += count;
    }

    /// How many changes were ever made.
    fn changes(&self) -> usize {
        self.synced + self.pending.len()
    }

    fn newest(&self) -> Vec<u8> {
        let mut content = self.durable.clone();
        self.pending
            .iter()
            .for_each(|change| change.apply(&mut content));
        content
    }

    fn after_cut(&self, progress: usize, random: &mut Random) -> Vec<u8> {
        let mut content = self.durable.clone();
        let mut lengths = vec![content.len()];
        let mut pages: BTreeMap<usize, Vec<Vec<u8>>> = BTreeMap::new();
        for change in &self.pending {
            let touched = change.pages(content.len());
            for page in touched.clone() {
                pages
                    .entry(page)
                    .or_insert_with(|| vec![page_of(&content, page)]);
            }
            change.apply(&mut content);
            for page in touched {
                pages.get_mut(&page).unwrap().push(page_of(&content, page));
            }
            lengths.push(content.len());
        }
        let some = |versions: usize, random: &mut Random| match progress {
            0 => 0,
            100 => versions - 1,
            _ if random.below(100) < progress => random.below(versions),
            _ => 0,
        };
        let length = lengths[some(lengths.len(), random)];
        let mut shown = self.durable.clone();
        for (page, versions) in pages {
            let mut version = versions[some(versions.len(), random)].clone();
            if progress < 100 && random.below(20) == 0 {
                let torn = random.below(PAGE / SECTOR) * SECTOR;
                version[torn..].copy_from_slice(&versions[random.below(versions.len())][torn..]);
            }
            let start = page * PAGE;
            shown.resize(shown.len().max(start + PAGE), 0);
            shown[start..start + PAGE].copy_from_slice(&version);
        }
        shown.resize(length, 0);
        shown
    }
}

impl Change {
    fn apply(&self, content: &mut Vec<u8>) {
        match self {
            Self::Write(offset, bytes) => {
                let start = *offset as usize;
                let end = start + bytes.len();
                content.resize(content.len().max(end), 0);
                content[start..end].copy_from_slice(bytes);
            }
            Self::Truncate(length) => content.resize(*length as usize, 0),
        }
    }

    /// The pages it touches in a file of `length` bytes.
    fn pages(&self, length: usize) -> Range<usize> {
        let (start, end) = match self {
            Self::Write(offset, bytes) => (*offset as usize, *offset as usize + bytes.len()),
            Self::Truncate(to) => (*to as usize, length.max(*to as usize)),
        };
        start / PAGE..end.div_ceil(PAGE)
    }
}

fn page_of(content: &[u8], page: usize) -> Vec<u8> {
    let start = content.len().min(page * PAGE);
    let mut bytes = content[start..content.len().min(start + PAGE)].to_vec();
    bytes.resize(PAGE, 0);
    bytes
}

/// Copies a directory with everything in it.
fn copy(from: &Path, to: &Path) {
    fs::create_dir_all(to).unwrap();
    for path in files_below(from) {
        let to = to.join(path.strip_prefix(from).unwrap());
        match path.is_dir() {
            true => fs::create_dir_all(to).unwrap(),
            false => drop(fs::copy(path, to).unwrap()),
        }
    }
}

/// Files and directories, a directory before what is in it.
fn files_below(directory: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        files.push(path.clone());
        if path.is_dir() {
            files.extend(files_below(&path));
        }
    }
    files
}

/// A sequence that looks random (xorshift) and is the same each time.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        // Neighbouring seeds are to have nothing in common.
        Self((seed + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15))
    }

    pub fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound as u64) as usize
    }
}
