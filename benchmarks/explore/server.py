"""The explorer at a free port, whose address is the first line that is printed."""

import sys

from metacurate.reporting.explorer.server import serve

if __name__ == "__main__":
    serve(sys.argv[1], 0, lambda address: print(address, flush=True))
