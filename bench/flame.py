"""Sampled stacks: which functions cost by themselves and with what they call, and a flame graph of them. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from html import escape
from zlib import crc32

WIDTH, ROW, SMALLEST = 1600, 17, 0.6  # pixels

IDLE = ("_worker (concurrent/futures/",)  # a pool's thread that waits for work, which samplers take for busy

Stacks = Mapping[tuple[str, ...], int]


def stacks(folded: str) -> Stacks:
    """Samples by stack, outermost function first, from the lines `a;b;c 12` that profilers write; idle threads are left out.
    Raises ValueError.
    """
    found: Counter[tuple[str, ...]] = Counter()
    for line in folded.splitlines():
        frames, _, count = line.rpartition(" ")
        stack = tuple(frames.split(";"))
        if not stack[-1].startswith(IDLE):
            found[stack] += int(count)
    return found


@dataclass(frozen=True, slots=True)
class Cost:
    """A function's share of all samples, 0 to 1: at the end of a stack (`own`), and anywhere in one (`cumulative`)."""

    function: str
    own: float
    cumulative: float


def costs(samples: Stacks) -> list[Cost]:
    """Every function that was seen, the costliest by itself first."""
    own: Counter[str] = Counter()
    cumulative: Counter[str] = Counter()
    for frames, count in samples.items():
        own[frames[-1]] += count
        cumulative.update(dict.fromkeys(set(frames), count))
    total = own.total() or 1
    found = [Cost(function, own[function] / total, count / total) for function, count in cumulative.items()]
    return sorted(found, key=lambda cost: (-cost.own, -cost.cumulative, cost.function))


def tops(samples: Stacks, count: int) -> str:
    """Two tables as text: the costliest functions by own and by cumulative share."""
    found = costs(samples)
    by_own = [f"{cost.own:7.1%} {cost.cumulative:7.1%}  {cost.function}" for cost in found[:count]]
    widest = sorted(found, key=lambda cost: -cost.cumulative)[: 2 * count]
    by_cumulative = [f"{cost.own:7.1%} {cost.cumulative:7.1%}  {cost.function}" for cost in widest]
    head = "    own   cumul  function"
    return "\n".join(["by own time", head, *by_own, "", "by cumulative time", head, *by_cumulative, ""])


@dataclass(slots=True)
class _Node:
    count: int = 0
    children: dict[str, _Node] = field(default_factory=dict)


def svg(samples: Stacks, title: str) -> str:
    """A flame graph: one box a function, as wide as its share, on top of what called it; its title tells name and share."""
    root = _Node()
    for frames, count in samples.items():
        root.count += count
        node = root
        for frame in frames:
            node = node.children.setdefault(frame, _Node())
            node.count += count
    height = (max((len(frames) for frames in samples), default=0) + 2) * ROW
    boxes = "\n".join(_boxes(root, 0.0, height - 2 * ROW, WIDTH / max(root.count, 1), max(root.count, 1)))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="monospace" font-size="11">\n'
        f'<text x="4" y="{height - 4}">{escape(title)}: {root.count} samples</text>\n{boxes}\n</svg>\n'
    )


def _boxes(node: _Node, left: float, top: float, scale: float, total: int) -> Iterable[str]:
    for name, child in sorted(node.children.items()):
        width = child.count * scale
        if width >= SMALLEST:
            hue = crc32(name.encode()) % 50
            shown = escape(name[: int(width / 7)]) if width > 30 else ""
            yield (
                f"<g><title>{escape(name)} {child.count / total:.1%}</title>"
                f'<rect x="{left:.1f}" y="{top:.0f}" width="{width:.1f}" height="{ROW - 1}" fill="hsl({hue} 90% 65%)"/>'
                f'<text x="{left + 2:.1f}" y="{top + 12:.0f}">{shown}</text></g>'
            )
            yield from _boxes(child, left, top - ROW, scale, total)
        left += width
