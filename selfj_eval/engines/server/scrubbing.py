"""Foreign texts without the key, also where they hold a part of it, or hold it encoded."""

from __future__ import annotations

import base64
import json
from urllib.parse import quote

PLACE = "[key]"
_RUN = 8  # characters in a row that a text shares with the key, by which it is known


class Scrubber:
    """Replaces a key in texts.

    A text gives a key away in parts, too: servers show its beginning or its end. So what is
    replaced is any run of ``_RUN`` characters of the key, or of the key as it is written in
    addresses, in JSON, in Base64 or in hexadecimal digits.

    Args:
        key: The key; may be empty.
    """

    def __init__(self, key: str) -> None:
        self._runs: set[str] = set()
        for form in _forms(key) if key else ():
            length = min(_RUN, len(form))
            form = form.lower()
            self._runs |= {form[at : at + length] for at in range(len(form) - length + 1)}
        self._lengths = {len(run) for run in self._runs}

    def clean(self, text: str) -> str:
        """The text with ``[key]`` in place of the key, and of each longer part of it."""
        if not self._runs:
            return text
        # Letter by letter, so that a letter whose small form is two does not shift the rest.
        lowered = "".join(c.lower() if c.isascii() else c for c in text)
        hidden = bytearray(len(text))
        for length in self._lengths:
            for at in range(len(text) - length + 1):
                if lowered[at : at + length] in self._runs:
                    hidden[at : at + length] = b"\1" * length
        pieces: list[str] = []
        for at, char in enumerate(text):
            if not hidden[at]:
                pieces.append(char)
            elif not at or not hidden[at - 1]:
                pieces.append(PLACE)
        return "".join(pieces)


def _forms(key: str) -> list[str]:
    """The key as texts may hold it."""
    data = key.encode()
    forms = [quote(key, safe=""), json.dumps(key)[1:-1], key.replace("/", "\\/"), data.hex()]
    for before in range(3):  # Base64 takes three bytes at a time: what stands before shifts it
        end = (before + len(data)) // 3 * 4
        # Only what is made of the key alone.
        inner = base64.b64encode(b"\0" * before + data)[4 if before else 0 : end]
        forms += [inner.decode(), inner.translate(bytes.maketrans(b"+/", b"-_")).decode()]
    return [key, *(form for form in forms if len(form) >= _RUN)]
