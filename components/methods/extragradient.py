"""Two mirror-descent steps from one base, as in EGPO and Nash-MP."""

from .base import PairedMethod
from .phases import Phase, PolicyRef, merge


def extragradient(method: PairedMethod, iteration: int, step: float, tau: float) -> tuple[Phase, Phase]:
    """A step of size s against π_t makes the half-way policy; then the same step from π_t, against that policy."""
    current, half = PolicyRef(iteration - 1), PolicyRef(iteration, "half")
    anchors = merge((method.pi_ref, step * tau), (current, 1.0 - step * tau))

    def towards(result: PolicyRef, opponent: PolicyRef) -> Phase:
        return Phase(
            name=result.name,
            **method.data({opponent: 1.0}),
            anchors=anchors,
            link="squared",
            target=method.target(step),
            start_from=current,
            result=result,
        )

    return towards(half, current), towards(PolicyRef(iteration), half)
