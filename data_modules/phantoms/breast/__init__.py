"""Mammograms with lesions, descriptors and regions that are known exactly."""
