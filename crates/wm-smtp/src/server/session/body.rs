//! The message: after DATA (RFC 5321 §4.1.1.4) and after BDAT (RFC 3030 §2).

use bytes::{Buf, Bytes};

use super::{Chunk, Event, Question, Session, State, Step};
use crate::codec::{BodyDecoder, Decoded};
use crate::server::replies;

impl Session {
    pub(super) fn begin_data(&mut self) -> Step {
        let Some(transaction) = &mut self.transaction else {
            return self.fault(replies::MAIL_FIRST);
        };
        if transaction.body.is_some() {
            return self.fault(replies::CHUNKS_BEGUN);
        }
        if transaction.recipients == 0 {
            return self.answer(&replies::NO_RECIPIENTS);
        }
        transaction.body = Some(BodyDecoder::dot_stuffed(self.config.bare_newline));
        self.state = State::Data;
        self.answer(&replies::START_MAIL_INPUT)
    }

    pub(super) fn data(&mut self) -> Step {
        self.progressed |= !self.input.is_empty();
        let body = self
            .transaction
            .as_mut()
            .and_then(|transaction| transaction.body.as_mut());
        match body.and_then(|body| body.decode(&mut self.input)) {
            None => Step::Stuck,
            Some(Decoded::Chunk(octets)) => self.body(octets),
            Some(Decoded::End { refused }) => self.end_of_data(refused),
        }
    }

    /// A chunk is read to its end even when it is refused: what follows are commands again.
    pub(super) fn begin_chunk(&mut self, size: u64, last: bool) -> Step {
        let refusal = match &mut self.transaction {
            None => Some(replies::MAIL_FIRST),
            Some(transaction) if transaction.recipients == 0 => Some(replies::NO_RECIPIENTS),
            Some(transaction)
                if transaction.size.saturating_add(size) > self.config.message_size =>
            {
                Some(replies::MESSAGE_TOO_BIG)
            }
            Some(transaction) => {
                let policy = self.config.bare_newline;
                transaction
                    .body
                    .get_or_insert_with(|| BodyDecoder::counted(policy));
                None
            }
        };
        self.state = State::Chunk(Chunk {
            size,
            left: size,
            last,
            refusal,
        });
        Step::Again
    }

    pub(super) fn chunk(&mut self) -> Step {
        let State::Chunk(chunk) = &mut self.state else {
            return Step::Stuck;
        };
        if chunk.left == 0 {
            return self.end_of_chunk();
        }
        if self.input.is_empty() {
            return Step::Stuck;
        }
        let here =
            usize::try_from(chunk.left).map_or(self.input.len(), |left| left.min(self.input.len()));
        let mut octets = self.input.slice(..here);
        let body = self
            .transaction
            .as_mut()
            .and_then(|transaction| transaction.body.as_mut());
        let decoded = match body {
            Some(body) if chunk.refusal.is_none() => body.decode(&mut octets),
            _ => {
                octets.clear();
                None
            }
        };
        let used = here - octets.len();
        self.input.advance(used);
        chunk.left -= used as u64;
        match decoded {
            Some(Decoded::Chunk(octets)) => self.body(octets),
            _ => Step::Again,
        }
    }

    fn end_of_chunk(&mut self) -> Step {
        let State::Chunk(chunk) = std::mem::replace(&mut self.state, State::Command) else {
            return Step::Stuck;
        };
        if let Some(refusal) = &chunk.refusal {
            self.reply(refusal);
            return self.reset();
        }
        let body = self
            .transaction
            .as_mut()
            .and_then(|transaction| transaction.body.as_mut());
        let Some(body) = body else { return Step::Again };
        if chunk.last {
            let (rest, refused) = body.finish();
            if rest.is_empty() {
                return self.end_of_data(refused);
            }
            self.state = State::Chunk(chunk);
            return self.body(rest);
        }
        if body.refused() {
            self.reply(&replies::BARE_NEWLINE);
            return self.reset();
        }
        let text = format!("{} octets received", chunk.size);
        self.answer(&replies::DONE.with_text(text))
    }

    fn body(&mut self, octets: Bytes) -> Step {
        let Some(transaction) = &mut self.transaction else {
            return Step::Again;
        };
        transaction.size += octets.len() as u64;
        if transaction.size > self.config.message_size {
            return Step::Again;
        }
        Step::Event(Event::Body(octets))
    }

    fn end_of_data(&mut self, refused: bool) -> Step {
        self.state = State::Command;
        // In this order: how much of a refused body was counted depends on how it arrived.
        if refused {
            self.reply(&replies::BARE_NEWLINE);
            return self.reset();
        }
        let size = self
            .transaction
            .as_ref()
            .map_or(0, |transaction| transaction.size);
        if size > self.config.message_size {
            self.reply(&replies::MESSAGE_TOO_BIG);
            return self.reset();
        }
        self.transaction = None;
        self.ask(Question::EndOfData, Event::EndOfData)
    }
}
