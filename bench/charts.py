"""Charts as SVG: bars side by side, and lines over time. In light and dark, as GitHub shows them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

COLOURS = ("#0969da", "#9a6700", "#1a7f37", "#cf222e", "#8250df", "#bf3989", "#57606a", "#1b7c83")
WIDTH, LEFT, RIGHT, TOP = 900, 300, 70, 78
STYLE = """\
  <style>
    .page { fill: #ffffff } .text { fill: #1f2328 } .soft { fill: #59636e; font-size: 12px } .line { stroke: #d1d9e0 }
    .head { font-weight: 600 }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } .text { fill: #f0f6fc } .soft { fill: #9198a1 } .line { stroke: #3d444d }
    }
  </style>"""

Points = Sequence[tuple[float, float]]


def bars(title: str, unit: str, rows: Mapping[str, Mapping[str, float]]) -> str:
    """Horizontal bars: for each row, one of each series that has a value there."""
    series = list(dict.fromkeys(name for values in rows.values() for name in values))
    longest = max((value for values in rows.values() for value in values.values()), default=1.0) or 1.0
    parts = [*_legend(series)]
    y = TOP
    for row, values in rows.items():
        middle = y + 8 * len(values) + 4
        parts.append(_text(LEFT - 12, middle, row, anchor="end"))
        for name, value in values.items():
            width = (WIDTH - LEFT - RIGHT) * value / longest
            colour = _colour(series, name)
            parts.append(f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="14" rx="2" fill="{colour}"/>')
            parts.append(_text(LEFT + width + 6, y + 11, f"{_number(value)} {unit}", kind="soft"))
            y += 16
        y += 10
    return _page(title, y + 6, parts)


def lines(title: str, unit: str, series: Mapping[str, Points], steps: Sequence[tuple[float, str]]) -> str:
    """Values over seconds, with a mark where each step begins; its number leads to the list below."""
    height, left = 240, 60
    end = max((points[-1][0] for points in series.values() if points), default=1.0) or 1.0
    highest = max((value for points in series.values() for _, value in points), default=1.0) or 1.0
    across, bottom = WIDTH - left - 20, TOP + height

    def place(at: float, value: float) -> str:
        return f"{left + across * at / end:.1f},{bottom - height * value / highest:.1f}"

    parts = [*_legend(list(series))]
    for share in (0, 0.25, 0.5, 0.75, 1):
        y = bottom - height * share
        parts.append(f'<path class="line" d="M{left} {y:.1f}H{left + across}"/>')
        parts.append(_text(left - 8, y + 4, _number(highest * share), anchor="end", kind="soft"))
    for number, (at, _) in enumerate(steps, 1):
        x = left + across * at / end
        parts.append(f'<path class="line" d="M{x:.1f} {TOP}V{bottom}" stroke-dasharray="3 3"/>')
        parts.append(_text(x + 2, bottom + 14, str(number), kind="soft"))
    for name, points in series.items():
        path = " ".join(place(at, value) for at, value in points)
        parts.append(
            f'<polyline fill="none" stroke="{_colour(list(series), name)}" stroke-width="1.5" points="{path}"/>'
        )
    y = bottom + 34
    for number, (at, step) in enumerate(steps, 1):
        parts.append(_text(left + 420 * ((number - 1) % 2), y, f"{number}  {step}, from {at:.0f} s", kind="soft"))
        y += 18 * (number % 2 == 0)
    return _page(f"{title} ({unit})", y + 20, parts)


def _legend(series: Sequence[str]) -> list[str]:
    parts: list[str] = []
    x, y = 20.0, 48
    for name in series:
        width = 17 + 6.5 * len(name) + 18
        if x + width > WIDTH:
            x, y = 20.0, y + 18
        parts.append(f'<rect x="{x:.0f}" y="{y - 10}" width="12" height="12" rx="2" fill="{_colour(series, name)}"/>')
        parts.append(_text(x + 17, y, name, kind="soft"))
        x += width
    return parts


def _colour(series: Sequence[str], name: str) -> str:
    return COLOURS[list(series).index(name) % len(COLOURS)]


def _number(value: float) -> str:
    return f"{value:.0f}" if value >= 10 else f"{value:.1f}"


def _text(x: float, y: float, text: str, *, anchor: str = "start", kind: str = "text") -> str:
    return f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _page(title: str, height: float, parts: Sequence[str]) -> str:
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:.0f}" '
        f'font-family="-apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif" font-size="13" role="img">'
    )
    page = f'<rect class="page" width="{WIDTH}" height="{height:.0f}" rx="8"/>'
    name = f'<text class="text head" x="20" y="26">{escape(title)}</text>'
    return "\n".join([head, f"  <title>{escape(title)}</title>", STYLE, page, name, *parts, "</svg>", ""])
