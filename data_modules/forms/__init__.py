"""Other forms of the same privileged information: text from a table, a table from strata."""

from data_modules.forms.base import PrivilegedForm
from data_modules.forms.table_from_strata import TableFromStrata
from data_modules.forms.text_from_table import TextFromTable

__all__ = ["PrivilegedForm", "TableFromStrata", "TextFromTable"]
