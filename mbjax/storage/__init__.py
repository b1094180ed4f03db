"""Objects in buckets (gs://, s3://) beside files on disk: one seam, with the promises of a disk."""
