"""A page of this machine on which one reads a curated set: its entries, pairs, and their fates."""
