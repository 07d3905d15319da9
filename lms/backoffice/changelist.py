"""The list of a page, which answers to whatever is typed into its address."""

from django.contrib.admin.options import IncorrectLookupParameters
from django.db import DataError
from unfold.views import ChangeList

# What a database makes of a number that no column holds, or a day that no clock shows.
UNREADABLE = (OverflowError, DataError)


class StaffChangeList(ChangeList):
    """Takes a filter that the database cannot even read for one that nobody offers.

    It is only found when the rows are asked for, where Django no longer looks for mistakes of the
    address.
    """

    def __init__(self, *args, **kwargs) -> None:
        try:
            super().__init__(*args, **kwargs)
        except UNREADABLE as error:
            raise IncorrectLookupParameters(error) from error
