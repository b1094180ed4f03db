"""What fills a training batch: records, the plan (seed, step) -> clips, augmentation, noise.

May import pose, devices, keypoints and motion.
"""
