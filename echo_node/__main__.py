"""``python -m echo_node``."""

import sys

from echo_node.cli import main

if __name__ == "__main__":
    sys.exit(main())
