"""A paginator that never counts a million rows to show fifty of them."""

from django.core.paginator import Paginator
from django.utils.functional import cached_property

MOST = 10_000


class BoundedPaginator(Paginator):
    """Counts up to MOST rows; beyond that the count stops there and `is_bounded` is true."""

    template_name = "admin/pagination_bounded.html"
    most = MOST

    @cached_property
    def count(self) -> int:
        rows = self.object_list
        if not hasattr(rows, "query"):
            return super().count
        return rows.order_by()[: MOST + 1].count()

    @property
    def is_bounded(self) -> bool:
        return self.count > MOST
