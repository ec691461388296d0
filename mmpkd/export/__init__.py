"""Export of a trained student for other people and other programs."""

from mmpkd.export.folder import ExportOptions, export_student
from mmpkd.export.source import ExportSource, open_source

__all__ = ["ExportOptions", "ExportSource", "export_student", "open_source"]
