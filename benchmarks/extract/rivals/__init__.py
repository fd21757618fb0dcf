"""Other ways to read archives and pages; each has a `main`, run in a fresh process."""
