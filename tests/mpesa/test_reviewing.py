"""What staff should do about something that Safaricom sent."""

import pytest

from lms.mpesa.error_codes import ERRORS, explain_error
from lms.mpesa.reviewing import LABELS, Outcome, Sent, what_to_do


@pytest.mark.parametrize(
    ("sent", "step"),
    [
        ({"gave_up": True, "receipt": "UKL7AB12CD"}, "Press “Apply again”."),
        ({"kind": "confirmation"}, "Nothing was booked. Open it and look for an M-Pesa receipt"),
        ({"kind": "stk", "receipt": "UKL7AB12CD"}, "None of our requests asked for it. Ask"),
        ({"kind": "stk", "receipt": "UKL7AB12CD", "push": "MP000001", "amounts_differ": True},
         "MP000001 asked for another amount. Ask Safaricom about UKL7AB12CD"),
        ({"kind": "stk", "receipt": "UKL7AB12CD", "push": "MP000001"},
         "MP000001 was paid with another receipt already."),
        ({"kind": "stk", "receipt": "UKL7AB12CD", "booked": "RC000001"},
         "Compare it with RC000001"),
        ({"kind": "confirmation", "receipt": "UKL7AB12CD"}, "When what the note says is mended"),
        ({"kind": "status", "booked": "RC000001"}, "Compare RC000001 with the M-Pesa statement"),
        ({"kind": "status"}, "Nothing was booked. Ask Safaricom again"),
    ],
)  # fmt: skip
def test_each_thing_set_aside_has_a_next_step(sent, step):
    assert what_to_do(Sent(**{"kind": "stk", "outcome": Outcome.REVIEW, **sent})).startswith(step)


@pytest.mark.parametrize(
    ("outcome", "step"),
    [
        (Outcome.UNPLACED, "Open RC000001 and say whose money it is."),
        (Outcome.REVERSED, "Nothing: RC000001 was reversed."),
        (Outcome.NO_MONEY, "Ask the customer to try again."),
        (Outcome.WAITING, "Nothing: it is applied within minutes."),
        (Outcome.AUTO, ""),
        (Outcome.BY_HAND, ""),
        (Outcome.DUPLICATE, ""),
    ],
)
def test_the_rest_says_what_is_left_to_do(outcome, step):
    sent = Sent("stk", outcome, booked="RC000001", advice="Ask the customer to try again.")

    assert what_to_do(sent) == step


def test_every_outcome_has_a_name():
    assert set(LABELS) == set(Outcome)


def test_codes_of_daraja_are_explained_and_others_are_not():
    assert explain_error("500.003.02").meaning == "Safaricom was asked too fast, or is busy."
    assert explain_error("0") is None
    assert all(found.meaning.endswith(".") and found.advice for found in ERRORS.values())
