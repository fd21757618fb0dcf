"""What the web says: tables of image-text pairs."""
