use serde::{Deserialize, Serialize};

use super::EntityId;
use crate::{GroupId, UserId};

/// A right on somebody's mailbox, granted by an administrator (PRM-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum MailboxRight {
    /// Open the mailbox and edit its folder permissions; implies neither of the others (PRM-4a).
    FullAccess,
    /// Send with the owner in both From and Sender (PRM-2).
    SendAs,
    /// Send with the owner in From and oneself in Sender (PRM-2).
    SendOnBehalf,
}

/// A set of [`MailboxRight`]s.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct MailboxRights {
    /// [`MailboxRight::FullAccess`].
    pub full_access: bool,
    /// [`MailboxRight::SendAs`].
    pub send_as: bool,
    /// [`MailboxRight::SendOnBehalf`].
    pub send_on_behalf: bool,
}

impl MailboxRights {
    /// No right at all.
    pub const NONE: Self = Self {
        full_access: false,
        send_as: false,
        send_on_behalf: false,
    };

    /// Whether no right is in the set.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        !(self.full_access || self.send_as || self.send_on_behalf)
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self {
            full_access: self.full_access || other.full_access,
            send_as: self.send_as || other.send_as,
            send_on_behalf: self.send_on_behalf || other.send_on_behalf,
        }
    }
}

/// Rights that an administrator has granted (PRM-1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Whose mailbox or address it is about.
    pub on: EntityId,
    /// Who holds it: a user, or a group with all its members, nested ones too.
    pub to: EntityId,
    /// The rights.
    pub rights: MailboxRights,
}

/// Whom a folder permission is for (PRM-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Grantee {
    /// One user.
    User(UserId),
    /// The members of a group.
    Group(GroupId),
    /// Everybody in the organization who has no entry of their own.
    Default,
    /// Everybody, logged in or not.
    Anonymous,
}

/// An entry of a folder's permission set (PRM-4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct FolderPermission {
    /// Whom it is for.
    pub grantee: Grantee,
    /// What they may do.
    pub rights: FolderRights,
}

/// What may be done in a folder (EWS `PermissionType`; IMAP ACL, RFC 4314, maps onto it).
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct FolderRights(u16);

impl FolderRights {
    /// Nothing.
    pub const NONE: Self = Self(0);
    /// See that the folder exists.
    pub const VISIBLE: Self = Self(1);
    /// Read its items.
    pub const READ: Self = Self(1 << 1);
    /// Put items into it.
    pub const CREATE: Self = Self(1 << 2);
    /// Change items one has put there.
    pub const EDIT_OWN: Self = Self(1 << 3);
    /// Change any item.
    pub const EDIT_ALL: Self = Self(1 << 4);
    /// Delete items one has put there.
    pub const DELETE_OWN: Self = Self(1 << 5);
    /// Delete any item.
    pub const DELETE_ALL: Self = Self(1 << 6);
    /// Make folders below it.
    pub const CREATE_SUBFOLDERS: Self = Self(1 << 7);
    /// Rename, move, delete it and edit its permissions.
    pub const OWNER: Self = Self(1 << 8);
    /// See free/busy times (calendar folders).
    pub const FREE_BUSY: Self = Self(1 << 9);
    /// See free/busy times with subject and place (calendar folders).
    pub const FREE_BUSY_DETAILS: Self = Self(1 << 10);
    /// Everything.
    pub const ALL: Self = Self((1 << 11) - 1);

    /// Whether every right of `other` is here.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// Both sets together.
    #[must_use]
    pub const fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }
}

impl std::ops::BitOr for FolderRights {
    type Output = Self;

    fn bitor(self, other: Self) -> Self {
        self.union(other)
    }
}
