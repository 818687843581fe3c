"""What comes from outside, made up at random, is understood or refused, and does nothing worse."""

from __future__ import annotations

from tests.plan import test_properties as planner
from tests.services import test_hostile as hostile
from tests.services import test_records_fuzz as records
from tests.services import test_webhooks as webhooks
from tests.torture.promises import EXAMPLES, promise

LISTS, REPLIES, BODIES, WORLDS = (
    f"{EXAMPLES:,} {what}" for what in ("lists", "replies", "bodies", "libraries")
)

test_sound_lists = promise(
    "A list of a service is read as a plain decoder reads it, in any layout and any pieces", LISTS
)(records.test_a_sound_list_is_read_as_by_the_standard_decoder)

test_broken_records = promise("A broken record costs no other record", LISTS)(
    records.test_a_broken_record_is_one_record
)

test_cut_lists = promise("A list that was cut is never taken for a whole one", LISTS)(
    records.test_what_is_cut_is_never_whole
)

test_spoiled_replies = promise(
    "A reply with wrong bytes is at worst an error of the service that sent it", REPLIES
)(hostile.test_a_spoiled_reply_is_read_or_refused)

test_webhook_bodies = promise("The body of a webhook is understood or refused", BODIES)(
    webhooks.test_any_body_is_understood_or_refused
)

test_order = promise("A plan does not depend on the order in which anything comes", WORLDS)(
    planner.test_the_plan_is_the_same_in_whatever_order_everything_comes
)

test_second_runs = promise("A second run of the same library changes nothing", WORLDS)(
    planner.test_a_second_run_changes_nothing
)

test_promotions = promise("Nothing becomes available that may not be there", WORLDS)(
    planner.test_nothing_is_promoted_that_may_not_be_there
)

test_people = promise("What people or the tracker wrote is not overwritten", WORLDS)(
    planner.test_nothing_that_was_tracked_is_lost
)

test_removals = promise("Nothing is removed without all the evidence", WORLDS)(
    planner.test_nothing_is_removed_that_may_be_there
)
