"""Every verb of the M-Pesa room that writes.

Going out: `push`, then `query_push` for what never called back; `ask_balances` and `ask_payment`
for what Safaricom answers later. Coming in: `record_callback` stores, `apply` reads and says what
money arrived, the room above books it, `attach` ties both together. No transaction is open during
HTTP.
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
    close_unanswered,
    forget_requests,
    our_shortcodes,
    register_addresses,
)
from lms.mpesa.operations.pushes import push, query_push

__all__ = [
    "JustAsked",
    "Receipt",
    "apply",
    "ask_about",
    "ask_again",
    "ask_balances",
    "ask_payment",
    "attach",
    "attach_many",
    "claim",
    "claim_one",
    "close_unanswered",
    "forget_requests",
    "note_failure",
    "our_shortcodes",
    "push",
    "query_push",
    "read_many",
    "record_answer",
    "record_callback",
    "register_addresses",
    "reopen",
    "set_aside",
    "validate",
]
