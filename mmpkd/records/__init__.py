"""The folder of a run: its files, how each is written and read, and the state of the run."""

from mmpkd.records.run_folder import RunFolder
from mmpkd.records.run_state import Lineage, RunState, StudyRecord, TestRecord, TrainingRecord

__all__ = ["Lineage", "RunFolder", "RunState", "StudyRecord", "TestRecord", "TrainingRecord"]
