"""Which concepts exist."""
