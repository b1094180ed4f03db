"""Raw corpora to TFRecord shards, offline. Needs the extra [data]."""
