"""A page per model, one module per subject. Importing this registers them all."""

from lms.backoffice.admin import (
    books,
    charges,
    customers,
    imports,
    jobs,
    loan_changes,
    loans,
    messages,
    mpesa,
    payments,
    people,
    product_versions,
    products,
    repayments,
    security,
)

__all__ = [
    "books",
    "charges",
    "customers",
    "imports",
    "jobs",
    "loan_changes",
    "loans",
    "messages",
    "mpesa",
    "payments",
    "people",
    "product_versions",
    "products",
    "repayments",
    "security",
]
