"""From curated pairs to shards of images, and from shards to what training reads."""
