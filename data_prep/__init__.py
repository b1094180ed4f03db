"""Raw corpora to TFRecord shards, offline."""
