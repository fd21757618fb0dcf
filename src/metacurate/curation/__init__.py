"""From counts to a balanced subset."""
