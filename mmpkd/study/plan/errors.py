"""Why a study cannot go on."""


class StudyError(Exception):
    """A study cannot be planned, continued or reported; the message says why and what to do."""


class NotComparableError(StudyError):
    """Two arms cannot be compared, or not by that score; other questions of the study can be answered."""
