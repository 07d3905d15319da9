"""Do one chore in this process, which a test may kill: `python -m tests.processes CHORE [ARG…]`."""

import os
import sys

from tests.processes import clerk

clerk.begin(dict(os.environ))
clerk.do(*sys.argv[1:])
