"""Checks that find problems of a data set before anything is trained on it."""

from data_modules.checks.all_checks import check_data, quick_problems
from data_modules.checks.report import DataReport, Problem, count_split

__all__ = ["DataReport", "Problem", "check_data", "count_split", "quick_problems"]
