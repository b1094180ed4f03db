"""2D keypoints of detectors: files of each form, layouts, tracking of persons. May import pose."""
