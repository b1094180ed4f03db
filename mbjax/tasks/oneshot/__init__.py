"""One-shot action recognition by a metric embedding."""
