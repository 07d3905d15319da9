"""The verbs of cash in people's hands.

`cash` is what payments ask: whose drawer does this go through? `drawers` opens, fills, counts and
closes them. `handovers` moves cash between drawers, `banking` takes it to the bank, and `funds`
moves the lender's own money between bank, M-Pesa and vault.
"""
