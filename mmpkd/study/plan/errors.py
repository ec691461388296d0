"""Errors of studies."""


class StudyError(Exception):
    """Raised if a study cannot be planned, continued or reported; the message says why and what to do."""


class NotComparableError(StudyError):
    """Raised if two arms cannot be compared, or not by that score. Other questions of the study may still have answers."""
