"""How often a property is tried."""

import os

PROOF = "PATCHBAY_PROOF" in os.environ
SHARE = 4


def examples(full: int) -> int:
    """All of them in `make proof`, a share in `make test`."""
    return full if PROOF else full // SHARE
