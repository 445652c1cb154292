//! What every [`MailboxStore`](crate::traits::MailboxStore) has to do. Use [`mailbox_store_contract!`](crate::mailbox_store_contract).
#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a failed check is a failed test"
)]
#![allow(missing_docs, reason = "each check's name says what it checks")]

mod changes;
mod commits;
mod folders;
mod items;
mod support;
mod tenancy;

pub use changes::*;
pub use commits::*;
pub use folders::*;
pub use items::*;
pub use tenancy::*;

/// Makes a test of every check, for the store that the expression makes.
#[macro_export]
macro_rules! mailbox_store_contract {
    ($make:expr) => {
        $crate::contract_cases!(mailbox_store, $make;
            a_new_mailbox_has_its_well_known_folders,
            creating_a_mailbox_again_changes_nothing,
            reading_a_mailbox_that_is_not_there_finds_nothing,
            an_item_is_read_as_it_was_written,
            a_body_that_nobody_finished_cannot_be_referred_to,
            every_commit_takes_the_next_number,
            uids_rise_and_are_never_given_twice,
            one_refused_operation_refuses_all,
            operations_on_their_own_are_refused_alone,
            later_operations_see_earlier_ones,
            a_change_of_nothing_is_no_commit,
            flags_set_by_two_clients_are_both_kept,
            an_expectation_that_fails_changes_nothing,
            stamps_tell_what_changed,
            a_new_content_takes_the_place_of_the_old,
            a_moved_item_keeps_its_id_and_gets_a_new_uid,
            a_copy_is_an_item_of_its_own,
            a_deleted_item_leaves_a_tombstone,
            folders_count_what_is_in_them,
            folders_are_made_renamed_moved_and_deleted,
            folders_refuse_what_makes_no_sense,
            a_deleted_folder_takes_its_items_along,
            pages_follow_each_other_without_gap_or_overlap,
            received_ranges_select_what_ages_out,
            changes_bring_any_state_up_to_date,
            changes_never_divide_a_commit,
            every_page_of_changes_is_a_whole_state,
            a_state_before_the_horizon_is_refused,
            the_event_log_tells_what_happened_and_who_did_it,
            watchers_wake_after_the_commit_is_visible,
            concurrent_writers_lose_nothing,
            a_full_mailbox_refuses,
            properties_are_kept_without_loss,
            mailboxes_share_nothing,
            organizations_share_nothing,
            a_removed_mailbox_is_gone,
        );
    };
}
