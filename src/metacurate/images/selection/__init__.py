"""New shards, or lists of keys, of the images and pairs that stay."""
