"""How long somebody is going to wait, as far as it was last said: what a decision goes by."""

from __future__ import annotations

import msgspec

from shared.events.config import EstimatorName


class Foreseen(msgspec.Struct, frozen=True):
    """Seconds still to wait, and which estimator said it."""

    seconds: float
    estimator: EstimatorName
