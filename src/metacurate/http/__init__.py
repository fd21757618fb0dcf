"""Files from servers: downloads that bear with drops, busy servers and runs that are cut off."""
