"""The matrix of who reaches whom, as a picture (SVG) that stands by itself."""

from __future__ import annotations

from xml.etree import ElementTree

from tests.isolation.report.results import Network

CELL, LEFT, TOP, FONT = 22, 210, 110, 12
OPEN, CLOSED, WRONG, BLANK = "#2e8b57", "#d9dde3", "#c62828", "#ffffff"
LEGEND = (
    (OPEN, "gets through, as intended"),
    (CLOSED, "blocked, as intended"),
    (WRONG, "not as intended"),
)


def picture(network: Network) -> str:
    """Rows are destinations, columns are where the attempt comes from; blank cells say nothing about tenants."""
    width = LEFT + CELL * len(network.columns) + 40
    height = TOP + CELL * len(network.rows) + 60
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "viewBox": f"0 0 {width} {height}",
            "width": str(width),
            "height": str(height),
            "font-family": "system-ui, sans-serif",
            "font-size": str(FONT),
            "role": "img",
        },
    )
    ElementTree.SubElement(svg, "title").text = "Who reaches whom"
    ElementTree.SubElement(svg, "rect", {"width": "100%", "height": "100%", "fill": BLANK})
    for index, column in enumerate(network.columns):
        x, y = LEFT + CELL * index + CELL * 0.7, TOP - 8
        turned = {"x": f"{x}", "y": f"{y}", "transform": f"rotate(-55 {x} {y})"}
        ElementTree.SubElement(svg, "text", turned).text = column
    for number, row in enumerate(network.rows):
        y = TOP + CELL * number
        label = {"x": str(LEFT - 8), "y": str(y + CELL * 0.7), "text-anchor": "end"}
        ElementTree.SubElement(svg, "text", label).text = row
        for index, column in enumerate(network.columns):
            _cell(svg, network, (row, column), LEFT + CELL * index, y)
    x = 10
    for colour, meaning in LEGEND:
        y = height - 34
        ElementTree.SubElement(
            svg, "rect", {"x": str(x), "y": str(y), "width": "14", "height": "14", "rx": "3", "fill": colour}
        )
        ElementTree.SubElement(svg, "text", {"x": str(x + 20), "y": str(y + 12)}).text = meaning
        x += 40 + 7 * len(meaning)
    return ElementTree.tostring(svg, encoding="unicode") + "\n"


def _cell(svg: ElementTree.Element, network: Network, place: tuple[str, str], x: int, y: int) -> None:
    if place not in network.found:
        return
    allowed = network.found[place]
    colour = WRONG if allowed != network.intended[place] else OPEN if allowed else CLOSED
    size = str(CELL - 3)
    cell = ElementTree.SubElement(
        svg, "rect", {"x": str(x), "y": str(y), "width": size, "height": size, "rx": "3", "fill": colour}
    )
    row, column = place
    said = f"{column} → {row}: {'gets through' if allowed else 'blocked'}"
    ElementTree.SubElement(cell, "title").text = said
