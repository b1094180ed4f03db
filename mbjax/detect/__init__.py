"""Persons and their 2D keypoints in a video: frames, detectors, tracks. May import keypoints."""
