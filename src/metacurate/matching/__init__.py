"""From texts to the ids of the metadata entries they hold."""
