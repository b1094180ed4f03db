"""From TFRecord shards to batches on the devices: records, plan, feed, augment, corrupt."""
