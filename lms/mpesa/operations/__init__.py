"""Every verb of the M-Pesa room that writes.

Going out: `push`, then `query_push` for what never called back; `promise` and `send` for money to
customers, then `query_payout`; `ask_balances` and `ask_payment` for what Safaricom answers later.
Coming in: `record_callback` stores, `apply` reads and says what money arrived, the room above
books it, `attach` ties both together. No transaction is open during HTTP.
"""

from lms.mpesa.operations.applying import apply
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
from lms.mpesa.operations.pushes import push, query_push

__all__ = [
    "JustAsked",
    "Receipt",
    "apply",
    "ask_about",
    "ask_again",
    "ask_balances",
    "ask_payment",
    "ask_payout",
    "attach",
    "close_unanswered",
    "forget_requests",
    "left_today",
    "must_be_set_up",
    "our_shortcodes",
    "parts_of",
    "phone_of",
    "promise",
    "push",
    "query_due",
    "query_payout",
    "query_push",
    "record_answer",
    "record_callback",
    "register_addresses",
    "reopen",
    "send",
    "send_same",
    "send_waiting",
    "set_aside",
    "settle_as_failed",
    "validate",
]
