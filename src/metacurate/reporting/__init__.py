"""What a curated set looks like: its report, comparisons, and an explorer."""
