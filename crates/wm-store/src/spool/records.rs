use crate::record::Record;
use serde::{Deserialize, Serialize};
use wm_core::{
    FolderId, ItemId, ModSeq, TaskId, Timestamp, Uid, UidValidity,
    traits::{Accepted, Lease, NewTask, Outcome, Task},
};

/// A task of the queue.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct TaskRecord {
    pub(super) what: NewTask,
    pub(super) attempts: u32,
    pub(super) due: Timestamp,
    pub(super) accepted: Timestamp,
    pub(super) last_error: String,
    /// Where it stands in the order of due tasks: when it is due, or its lease lapses.
    pub(super) listed: Timestamp,
    /// Told to the one who has it. Rises with every lease, and when a lease ends.
    pub(super) token: u64,
}

impl Record for TaskRecord {
    const NAME: &'static str = "task";
}

impl TaskRecord {
    pub(super) fn new(what: NewTask, accepted: Timestamp) -> Self {
        let due = what.due;
        Self {
            what,
            attempts: 0,
            due,
            accepted,
            last_error: String::new(),
            listed: due,
            token: 0,
        }
    }

    pub(super) fn into_task(self, id: TaskId) -> Task {
        Task {
            id,
            what: self.what,
            attempts: self.attempts,
            due: self.due,
            accepted: self.accepted,
            last_error: self.last_error,
        }
    }

    pub(super) fn into_lease(self, id: TaskId) -> Lease {
        Lease {
            token: self.token,
            task: self.into_task(id),
        }
    }
}

/// The number of the next task.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct NextTask(pub(super) u64);

impl Record for NextTask {
    const NAME: &'static str = "next task";
}

/// What was counted in a scope on a day.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct CounterRecord(pub(super) u64);

impl Record for CounterRecord {
    const NAME: &'static str = "counter";
}

/// What an acceptance was answered with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct AcceptedRecord {
    pub(super) deliveries: Vec<Placed>,
    pub(super) tasks: Vec<TaskId>,
}

impl Record for AcceptedRecord {
    const NAME: &'static str = "acceptance";
}

/// Where an item was put.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Placed {
    item: ItemId,
    folder: FolderId,
    uid: Uid,
    uid_validity: UidValidity,
    modseq: ModSeq,
}

impl Placed {
    pub(super) fn from_outcome(outcome: &Outcome) -> Option<Self> {
        match *outcome {
            Outcome::Item {
                item,
                folder,
                uid,
                uid_validity,
                modseq,
            } => Some(Self {
                item,
                folder,
                uid,
                uid_validity,
                modseq,
            }),
            _ => None,
        }
    }

    fn into_outcome(self) -> Outcome {
        let Self {
            item,
            folder,
            uid,
            uid_validity,
            modseq,
        } = self;
        Outcome::Item {
            item,
            folder,
            uid,
            uid_validity,
            modseq,
        }
    }
}

impl AcceptedRecord {
    pub(super) fn into_accepted(self) -> Accepted {
        let deliveries = self
            .deliveries
            .into_iter()
            .map(Placed::into_outcome)
            .collect();
        Accepted {
            deliveries,
            tasks: self.tasks,
        }
    }
}
