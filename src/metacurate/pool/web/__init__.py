"""Archives of the web, and the image-text pairs that their pages hold."""
