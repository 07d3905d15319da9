"""Questions that only read: the books as accountants, managers and auditors ask for them.

Each report is one function that returns a `Report`: columns, rows, and where each figure leads.
The staff pages show it and the exporters in `files` write it, so that every form of a report
holds the same figures. Nothing here writes to the database.
"""
