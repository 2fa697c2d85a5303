"""Make a terminal recording small and free of local paths: python tidy.py FOLDER < raw.cast > small.cast"""

import json
import re
import sys

FRAME = 0.2
"""Seconds: output that follows faster is shown in one step."""
PAUSE = 1.0
"""Seconds: a longer wait is shortened to this."""
UNINTERESTING = re.compile(r"make: .*\r\n|warning: using pulumi-\S+ from \$PATH.*\r\n|\S*https?://127\.0\.0\.1\S*debug\S*\r\n")

header, *events = sys.stdin.read().splitlines()
settings = json.loads(header)
print(json.dumps({key: settings[key] for key in ("version", "width", "height")}))
shown, last, text = 0.0, 0.0, ""
frames: list[tuple[float, str]] = []
for moment, kind, output in map(json.loads, events):
    if kind != "o":
        continue
    gap = moment - last
    last = moment
    if text and gap > 0 and frames and shown + min(gap, PAUSE) - frames[-1][0] < FRAME:
        frames[-1] = (frames[-1][0], frames[-1][1] + output)
        shown += min(gap, PAUSE)
        continue
    shown += min(gap, PAUSE)
    text = output
    frames.append((shown, output))
for moment, output in frames:
    cleaned = UNINTERESTING.sub("", output.replace(sys.argv[1] + "/", "").replace(sys.argv[1], "."))
    print(json.dumps([round(moment, 2), "o", cleaned]))
