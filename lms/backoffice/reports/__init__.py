"""The pages of the reports: a form of filters, one table, exports, and ways to what is behind."""
