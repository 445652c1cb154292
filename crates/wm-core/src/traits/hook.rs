use std::error::Error;

use async_trait::async_trait;

use crate::OrganizationId;

/// Receives events of the mail flow (the guide's Lambda; LMB-2). What it answers changes nothing
/// about the message; failures are logged and counted.
#[async_trait]
pub trait EventHook: Send + Sync {
    /// Calls the target.
    async fn invoke(&self, invocation: HookInvocation) -> Result<(), HookError>;
}

/// One call of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookInvocation {
    /// The organization whose rule asks for it.
    pub organization: OrganizationId,
    /// The target's name, as the rule gives it.
    pub target: String,
    /// The event, as JSON (LMB-1), at most 128 KiB.
    pub payload: String,
}

/// A call that failed.
#[derive(Debug, thiserror::Error)]
#[error("the hook {target:?} failed")]
pub struct HookError {
    /// The target.
    pub target: String,
    /// Whether a later call may succeed.
    pub transient: bool,
    /// The underlying error.
    #[source]
    pub source: Box<dyn Error + Send + Sync>,
}
