"""Damaged and hostile files for every reader; see test_fuzz.py."""
