"""The report of a study: its sentences, tables, figures and page."""
