#!/usr/bin/env python3
"""Draws docs/pictures/demo.svg: one moment of `watt-testnet demo` as a terminal shows it.

Usage: make.py WATT_TESTNET, the built binary. Needs Python 3 and no package. It runs the demo in a
pseudo-terminal, so the picture is what the program printed; the demo's seed makes it the same each time.
"""

import os
import pty
import re
import sys
import xml.sax.saxutils
from pathlib import Path

COLUMNS, FONT, ADVANCE, LINE = 108, 14, 8.43, 19
COLOURS = {"": "#d0d4da", "38;5;10": "#7bd88f", "38;5;11": "#f3c969", "38;5;9": "#ff7b72"}
FRAME = re.compile(r"(?:\x1b\[\d+A)?\x1b\[J")
WRAP = re.compile(r"\x1b\[\?7[hl]")
STYLE = re.compile(r"\x1b\[([\d;]*)m")


def record(binary: str) -> str:
    """Everything that the demo prints to a terminal."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS=str(COLUMNS), LINES="40")
        os.execv(binary, [binary, "demo"])
    printed = bytearray()
    while True:
        try:
            chunk = os.read(terminal, 65536)
        except OSError:  # Linux says EIO when the other end is closed
            break
        if not chunk:
            break
        printed += chunk
    _, status = os.waitpid(pid, 0)
    if status != 0:
        sys.exit(f"the demo failed with status {os.waitstatus_to_exitcode(status)}")
    return printed.decode().replace("\r\n", "\n")


def fullest(frames: list[str]) -> str:
    """The first frame with the most to see: who charges, who waits, who is done."""
    return max(frames, key=lambda frame: min(frame.count("charges"), frame.count("waits"), frame.count("done")))


def spans(line: str):
    """The pieces of a line with their colour, weight and dimness."""
    colour, bold, dim = "", False, False
    for index, piece in enumerate(STYLE.split(line)):
        if index % 2 == 0:
            if piece:
                yield piece, colour, bold, dim
        elif piece in ("0", ""):
            colour, bold, dim = "", False, False
        elif piece == "1":
            bold = True
        elif piece == "2":
            dim = True
        elif piece == "22":
            bold = dim = False
        elif piece == "39":
            colour = ""
        else:
            colour = piece


def svg(lines: list[str]) -> str:
    """The lines as a picture, every word at its own column so that no font shifts it."""
    width, height = round(COLUMNS * ADVANCE) + 40, len(lines) * LINE + 40
    drawn = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" role="img">',
        "<title>watt-testnet demo: who charges, who waits and why, and where the money is</title>",
        f'<rect width="{width}" height="{height}" rx="8" fill="#16191f"/>',
        f'<g font-family="DejaVu Sans Mono, Menlo, Consolas, monospace" font-size="{FONT}">',
    ]
    for row, line in enumerate(lines):
        column, y = 0, 34 + row * LINE
        for piece, colour, bold, dim in spans(line):
            style = (' font-weight="bold"' if bold else "") + (' opacity="0.55"' if dim else "")
            for word in re.finditer(r"\S+", piece):
                x = 20 + (column + word.start()) * ADVANCE
                text = xml.sax.saxutils.escape(word.group())
                drawn.append(f'<text x="{x:.1f}" y="{y}" textLength="{len(word.group()) * ADVANCE:.1f}" fill="{COLOURS.get(colour, COLOURS[""])}"{style}>{text}</text>')
            column += len(piece)
    return "\n".join([*drawn, "</g>", "</svg>", ""])


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: make.py WATT_TESTNET (the built binary, for example target/debug/watt-testnet)")
    frames = FRAME.split(WRAP.sub("", record(sys.argv[1])))[1:]
    frame = fullest(frames)
    picture = Path(__file__).with_name("demo.svg")
    picture.write_text(svg(frame.rstrip("\n").split("\n")))
    print(f"{picture}: one of {len(frames)} frames")


if __name__ == "__main__":
    main()
