//! Verification: what the answers of the DNS mean for each required record. Pure functions.

mod evidence;
mod judge;
mod status;

pub use evidence::{Evidence, Question};
pub use judge::{Judgement, Verdict};
pub use status::{RecordState, RecordStatus, VERIFICATION_PERIOD};
