"""Who the node is on the network and in its objects (PS3.7 D.3.3.2, PS3.3 C.7.5.1)."""

from __future__ import annotations

import echo_node

MANUFACTURER = "echo-node"
MODEL = "echo-node"
IMPLEMENTATION_UID = "2.25.208521848486090966940741989311524030819"  # never change it
IMPLEMENTATION_NAME = f"ECHO_NODE_{echo_node.__version__}"[:16]  # SH
