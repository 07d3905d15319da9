"""Every verb of the M-Pesa room that writes.

Going out: `push`, then `query_push` for what never called back. Coming in: `record_callback`
stores, `apply` reads and says what money arrived, the room above books it, `attach` ties
both together. No transaction is open during HTTP.
"""

from lms.mpesa.operations.inbox import (
    Receipt,
    apply,
    attach,
    record_answer,
    record_callback,
    reopen,
    set_aside,
    validate,
)
from lms.mpesa.operations.pushes import push, query_push

__all__ = [
    "Receipt",
    "apply",
    "attach",
    "push",
    "query_push",
    "record_answer",
    "record_callback",
    "reopen",
    "set_aside",
    "validate",
]
