"""How a stage runs over many units of work."""
