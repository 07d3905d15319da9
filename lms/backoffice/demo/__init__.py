"""A believable lender for `manage.py demo`: eighteen months of work, done by the real operations.

`loading.py` is the way in, `story.py` the days in order; `tree.py` runs what serves it.
"""
