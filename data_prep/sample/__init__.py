"""The sample corpus that comes with the package."""
