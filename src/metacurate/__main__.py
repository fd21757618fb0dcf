"""Run the commands as `python -m metacurate`."""

from metacurate.cli import main

if __name__ == "__main__":
    main()
