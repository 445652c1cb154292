use serde::{Deserialize, Serialize};

use super::EntityState;
use crate::{EmailAddress, OrganizationId, ResourceId, Timestamp};

/// A room or a piece of equipment (RES-1).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resource {
    /// Its id.
    pub id: ResourceId,
    /// The organization.
    pub organization: OrganizationId,
    /// Its name.
    pub name: String,
    /// What it is, for people.
    pub description: String,
    /// Room or equipment.
    pub kind: ResourceKind,
    /// Enabled or disabled.
    pub state: EntityState,
    /// Its address; present while enabled.
    pub primary: Option<EmailAddress>,
    /// Further addresses.
    pub aliases: Vec<EmailAddress>,
    /// How requests are answered.
    pub booking: BookingOptions,
    /// When it was made.
    pub created: Timestamp,
}

/// What kind of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ResourceKind {
    /// A place to meet.
    Room,
    /// A thing to use.
    Equipment,
}

/// How a resource answers meeting requests (RES-2).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BookingOptions {
    /// Accept every request that nothing below declines. When off, a delegate decides (RES-3).
    pub auto_accept: bool,
    /// Decline what recurs.
    pub decline_recurring: bool,
    /// Decline what overlaps a booking.
    pub decline_conflicting: bool,
}

impl Default for BookingOptions {
    fn default() -> Self {
        Self {
            auto_accept: true,
            decline_recurring: false,
            decline_conflicting: true,
        }
    }
}
