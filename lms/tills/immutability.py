"""Database triggers for what is counted and moved in drawers: it is written once, as the books."""

from lms.ledger import immutability

# As of the ledger: the columns that no two rows have in common.
TABLES = {"tills_cashcount": ("id",), "tills_drawermovement": ("id", "entry_id")}


def install(connection) -> None:
    """Refuse to change counts and movements, or to take them away."""
    immutability.install(connection, TABLES)


def remove(connection) -> None:
    """Drop these triggers."""
    immutability.remove(connection, TABLES)
