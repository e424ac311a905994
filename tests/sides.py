"""Which tests `make test` runs beside each other."""

from xdist.scheduler import LoadFileScheduling

WHOLE_SYSTEMS = ("tests/e2e/", "tests/faults/")


def scope_of(nodeid: str) -> str:
    """What is run on one side, one test after the other."""
    return "whole systems" if nodeid.startswith(WHOLE_SYSTEMS) else nodeid.partition("::")[0]


class Sides(LoadFileScheduling):
    """A file at a time on either side; but all that starts whole systems on one, and first. Two systems at a time on two cores
    take longer than one after the other, and what they wait for comes late.
    """

    def _split_scope(self, nodeid: str) -> str:
        return scope_of(nodeid)
