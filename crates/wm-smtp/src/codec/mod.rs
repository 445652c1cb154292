//! The wire: commands, replies and message bodies as typed values (RFC 5321 §4). Pure, bounded by
//! the limits it is given, and total: no input makes it panic.

mod body;
mod command;
mod line;
mod reply;

pub use body::{BareNewline, BodyDecoder, BodyEncoder, Decoded};
pub(crate) use command::is_bdat;
pub use command::{
    BodyType, Command, CommandError, ForwardPath, HeloName, MailFrom, Mechanism, RcptTo,
};
pub(crate) use line::{Line, LineReader};
pub use reply::{EnhancedCode, Reply, ReplyCode};
