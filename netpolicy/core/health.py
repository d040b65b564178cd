"""The health states and the step from one to the next.

A table and a threshold test, nothing else: no clock, no probe, no memory of its own.
The steps are the predecessor's (docs/rules.md, "States"); one sample is one step.
"""

NORMAL = "NORMAL"
DEGRADED = "DEGRADED"
FAILOVER = "FAILOVER"
RECOVERY = "RECOVERY"
STATES = (NORMAL, DEGRADED, FAILOVER, RECOVERY)

# state: (after a bad sample, after a good one)
STEPS = {
    NORMAL: (DEGRADED, NORMAL),
    DEGRADED: (FAILOVER, RECOVERY),
    FAILOVER: (FAILOVER, RECOVERY),
    RECOVERY: (DEGRADED, NORMAL),
}


class Thresholds:
    """Above which a sample is bad: latency in ms, error rate as a share 0-1; both strict."""

    __slots__ = ("error_rate", "latency_ms")

    def __init__(self, latency_ms: float = 120, error_rate: float = 0.05) -> None:
        self.latency_ms = latency_ms
        self.error_rate = error_rate

    def is_bad(self, latency_ms: float | None, error_rate: float | None) -> bool:
        """Whether a sample is bad; a missing value counts as good."""
        if latency_ms is not None and latency_ms > self.latency_ms:
            return True
        return error_rate is not None and error_rate > self.error_rate


V1_THRESHOLDS = Thresholds()


def step(state: str, latency_ms: float | None, error_rate: float | None, thresholds: Thresholds = V1_THRESHOLDS) -> str:
    """The state after one sample."""
    after_bad, after_good = STEPS[state]
    return after_bad if thresholds.is_bad(latency_ms, error_rate) else after_good
