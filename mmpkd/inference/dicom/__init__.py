"""Predictions and maps as DICOM objects beside the image that they are about; needs highdicom."""
