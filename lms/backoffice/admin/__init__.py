"""A page per model, one module per subject. Importing this registers them all."""

from lms.backoffice.admin import books, customers, jobs, people

__all__ = ["books", "customers", "jobs", "people"]
