"""Hashes that stand for pairs, texts and whole rows, wherever these are stored."""
