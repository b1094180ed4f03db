"""Readers of the files that detectors write, one file a form."""
