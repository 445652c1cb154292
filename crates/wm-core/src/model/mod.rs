//! The domain model: plain values that every crate shares.
//!
//! Who: [`Account`], [`Organization`], [`User`], [`Group`], [`Resource`]. What they hold:
//! [`Folder`], [`Item`] and what may be done with them ([`FolderRights`], [`Grant`]). What they
//! carry around: [`Device`] and its [`DevicePolicy`].

mod account;
mod device;
mod entity;
mod flags;
mod folder;
mod item;
mod organization;
mod permission;
mod policy;
mod property;
mod resource;

pub use account::Account;
pub use device::{Device, DeviceEvent, DeviceState};
pub use entity::{
    Contact, EntityId, EntityState, GalEntry, Group, Names, Principal, PrincipalRole, User,
    UserRole,
};
pub use flags::{Flags, Keyword, ParseKeywordError};
pub use folder::{Folder, FolderClass, FolderRole};
pub use item::{
    ChangeMask, Event, EventId, EventKind, Item, ItemClass, Mailbox, Origin, Protocol, Stamps,
    Summary, Tombstone,
};
pub use organization::{
    DirectoryKind, IllegalTransition, MailDomain, Organization, OrganizationAlias,
    OrganizationState, ParseAliasError,
};
pub use permission::{FolderPermission, FolderRights, Grant, Grantee, MailboxRight, MailboxRights};
pub use policy::DevicePolicy;
pub use property::{Properties, PropertyName, PropertySet, PropertyValue};
pub use resource::{BookingOptions, Resource, ResourceKind};
