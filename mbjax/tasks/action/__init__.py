"""Action recognition, from training to prediction along a recording."""
