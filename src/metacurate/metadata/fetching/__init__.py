"""Public sources of metadata: which there are, and how they are downloaded."""
