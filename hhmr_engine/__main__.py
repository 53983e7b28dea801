"""`python -m hhmr_engine`: the same as the `hhmr` command."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
