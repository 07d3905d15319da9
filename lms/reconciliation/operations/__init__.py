"""The verbs of reconciliation: begin, bring a statement, match, book what is missing, sign off."""
