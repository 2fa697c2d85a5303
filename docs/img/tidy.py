"""Make a terminal recording small and free of local paths: python tidy.py FOLDER < raw.cast > small.cast"""

from __future__ import annotations

import json
import re
import sys

FRAME = 0.2
"""Seconds. Output that follows sooner is shown in the same frame."""
PAUSE = 0.3
"""Seconds. A longer pause is shortened to this."""
LAST = 10.0
"""Seconds that the last frame is shown before the animation repeats."""
QUERY = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)")
"""Questions to the terminal, such as for its colours."""

folder = sys.argv[1]
first, *events = [json.loads(line) for line in sys.stdin]
frames: list[tuple[float, str]] = []
clock = previous = 0.0
for moment, _, output in events:
    clock += min(moment - previous, PAUSE)
    previous = moment
    text = QUERY.sub("", output.replace(f"{folder}/", "").replace(folder, "."))
    if frames and clock - frames[-1][0] < FRAME:
        frames[-1] = (frames[-1][0], frames[-1][1] + text)
    else:
        frames.append((clock, text))
frames.append((clock + LAST, "\x1b[0m"))
print(json.dumps({key: first[key] for key in ("version", "width", "height")}))
for moment, text in frames:
    print(json.dumps([round(moment, 2), "o", text]))
