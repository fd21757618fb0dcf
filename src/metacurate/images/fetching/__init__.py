"""Fetching images from the web: with limits, politely, and from public addresses only."""
