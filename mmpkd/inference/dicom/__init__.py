"""Predictions and maps as DICOM objects that refer to their image; needs highdicom."""
