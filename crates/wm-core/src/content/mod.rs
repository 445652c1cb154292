//! What is inside an item (feature `content`): the MIME structure of messages and the summary of what they say.
//!
//! [`Structure`] knows where every part of a message begins and ends, to the byte; [`Scanner`] finds it while a message
//! streams by. [`Head`] and [`Parameterised`] read header fields without decoding them. [`summarize`] decodes what a
//! list of messages shows.

#[cfg(test)]
mod corpora;
mod head;
mod media;
mod structure;
mod summary;
mod text;

pub use head::{Field, Head, Token, Tokens};
pub use media::Parameterised;
pub use structure::{Kind, Part, Scanner, Structure};
pub use summary::{conversation, summarize};
pub use text::decode_text;
