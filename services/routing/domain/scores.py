"""What estimates of waits were worth: each is held against what happened. Scores add up, whatever they were split by.

Microseconds, so that the sums are the same in whatever order they are made.
"""

from __future__ import annotations

from math import sqrt

import msgspec

from services.routing.domain.estimates import Estimate

NEAR_SECONDS = 30.0
NEAR_SHARE = 0.25


class Score(msgspec.Struct, frozen=True, kw_only=True):
    """How an estimator did. `scored` estimates met a wait that an agent ended; `unknown` were of visits that ended otherwise, and
    so show no wait (theirs would have been the longer ones: where many leave, what is right looks too long); `silent` said
    nothing. `bounded` of the scored said between what it should lie, `held` of them were right. `near` of the scored were not
    further off than NEAR_SECONDS, or than a quarter of the wait.
    """

    scored: int = 0
    unknown: int = 0
    silent: int = 0
    bounded: int = 0
    held: int = 0
    near: int = 0
    error_us: int = 0
    absolute_us: int = 0
    squared_us2: int = 0
    waited_us: int = 0

    def __add__(self, other: Score) -> Score:
        """Both together."""
        return Score(**{name: getattr(self, name) + getattr(other, name) for name in self.__struct_fields__})

    @property
    def mean_absolute_error_seconds(self) -> float | None:
        """By how much it is wrong, either way."""
        return self.absolute_us / self.scored / 1e6 if self.scored else None

    @property
    def bias_seconds(self) -> float | None:
        """By how much it says too much; negative where it says too little."""
        return self.error_us / self.scored / 1e6 if self.scored else None

    @property
    def root_mean_square_error_seconds(self) -> float | None:
        """As the mean absolute error, but large errors count for more; the literature ranks by it."""
        return sqrt(self.squared_us2 / self.scored) / 1e6 if self.scored else None

    @property
    def relative_error(self) -> float | None:
        """The mean absolute error in waits: 0.5 is wrong by half of them. So estimators compare that spoke of different waits."""
        return self.absolute_us / self.waited_us if self.scored and self.waited_us else None

    @property
    def share_near(self) -> float | None:
        """The share of those that were good enough to go by."""
        return self.near / self.scored if self.scored else None

    @property
    def share_silent(self) -> float | None:
        """How often it could not say, of all that it was asked."""
        asked = self.scored + self.unknown + self.silent
        return self.silent / asked if asked else None

    @property
    def coverage(self) -> float | None:
        """The share of waits that lay between what was said; 0.8 is what was meant."""
        return self.held / self.bounded if self.bounded else None


def score(estimate: Estimate, waited_seconds: float | None) -> Score:
    """What one estimate was worth: `waited_seconds` from when it was made until an agent came, None when none did."""
    if estimate.seconds is None:
        return Score(silent=1)
    if waited_seconds is None:
        return Score(unknown=1)
    waited, said = round(waited_seconds * 1e6), round(estimate.seconds * 1e6)
    least, most = estimate.least_seconds, estimate.most_seconds
    bounded = least is not None and most is not None
    return Score(
        scored=1,
        bounded=int(bounded),
        held=int(least is not None and most is not None and least <= waited_seconds <= most),
        near=int(abs(said - waited) <= max(NEAR_SECONDS, NEAR_SHARE * waited_seconds) * 1e6),
        error_us=said - waited,
        absolute_us=abs(said - waited),
        squared_us2=(said - waited) ** 2,
        waited_us=waited,
    )
