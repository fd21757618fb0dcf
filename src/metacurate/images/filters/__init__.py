"""What speaks against images: measured, judged, and written down; nothing is removed."""
