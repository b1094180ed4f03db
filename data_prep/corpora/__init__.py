"""One TFDS builder a corpus."""
