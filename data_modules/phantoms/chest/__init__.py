"""Chest radiographs with findings, reports and regions that are known exactly."""
