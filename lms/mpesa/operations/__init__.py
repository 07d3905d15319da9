"""Every verb of the M-Pesa room that writes.

Going out: `push`, then `query_push` for what never called back; `promise` and `send` for money to
customers, then `query_payout`; `ask_balances` and `ask_payment` for what Safaricom answers later;
`ask_reversal` for money that goes back to its payer, which `follow_reversals` watches; `pull` for
payments whose confirmation never came. Coming in: `record_callback` stores, `apply` reads and says
what money arrived, the room above books it, `attach` ties both together. No transaction is open
during HTTP.
"""

from lms.mpesa.operations.applying import apply, claim, claim_one, note_failure
from lms.mpesa.operations.batches import attach_many, read_many
from lms.mpesa.operations.inbox import (
    Receipt,
    attach,
    record_answer,
    record_callback,
    reopen,
    set_aside,
    validate,
)
from lms.mpesa.operations.inquiries import (
    JustAsked,
    ask_about,
    ask_again,
    ask_balances,
    ask_payment,
    ask_payout,
    close_unanswered,
    forget_requests,
    our_shortcodes,
    register_addresses,
)
from lms.mpesa.operations.payouts import (
    left_today,
    must_be_set_up,
    must_not_be_adrift,
    parts_of,
    phone_of,
    promise,
    query_due,
    query_payout,
    send,
    send_same,
    send_waiting,
    settle_as_failed,
)
from lms.mpesa.operations.pulls import pull, pull_is_set_up, register_pull
from lms.mpesa.operations.pushes import push, query_push
from lms.mpesa.operations.reversals import (
    ask_about_reversal,
    ask_reversal,
    follow_reversals,
    settle_by_hand,
)

__all__ = [
    "JustAsked",
    "Receipt",
    "apply",
    "ask_about",
    "ask_about_reversal",
    "ask_again",
    "ask_balances",
    "ask_payment",
    "ask_payout",
    "ask_reversal",
    "attach",
    "attach_many",
    "claim",
    "claim_one",
    "close_unanswered",
    "follow_reversals",
    "forget_requests",
    "left_today",
    "must_be_set_up",
    "must_not_be_adrift",
    "note_failure",
    "our_shortcodes",
    "parts_of",
    "phone_of",
    "promise",
    "pull",
    "pull_is_set_up",
    "push",
    "query_due",
    "query_payout",
    "query_push",
    "read_many",
    "record_answer",
    "record_callback",
    "register_addresses",
    "register_pull",
    "reopen",
    "send",
    "send_same",
    "send_waiting",
    "set_aside",
    "settle_as_failed",
    "settle_by_hand",
    "validate",
]
