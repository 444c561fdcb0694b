"""Pages made of the lines of recorded ones: tokens swapped, repeated and left out, bytes changed, pages spliced.

It knows what a line is made of, and nothing of what the parser does with it: no branch is counted, so that a page costs
microseconds. A seed gives the same pages again.
"""

import random
import re
from collections.abc import Callable
from pathlib import Path

EXPOSITIONS = Path(__file__).parents[1] / "expositions"
POOL = 400
LINES_AT_MOST = 4
MOST_BYTES = 600

_token = re.compile(rb"[a-zA-Z_:][a-zA-Z0-9_:]*|[0-9]+(?:\.[0-9]+)?|[ \t]+|[^a-zA-Z0-9_: \t]")
# Lines that no server recorded writes, and that a format has room for.
MADE = rb"""a 1
a{b="c"} 1
a{b="c",} 2.5 1000
{"a"} 1
{"a.b",c="d"} 1
a{"b.c"="d"} 1
a { b = "c" , d = "e" } 1 2
h_bucket{le="1"} 1
h_bucket{x="y",le="+Inf"} 3
h_bucket{le="0.1",x="y"} 2
h_sum 4.5
h_count 3
q{quantile="0.5"} 1
q{quantile="1"} 1
a_total 5 -1
a{b="\\\"\n"} NaN
a{b="}{,=#"} +Inf
a{b="\xc3\xa9"} -Inf
# HELP a some text
# HELP a \\ \n "x"
# TYPE a gauge
# TYPE a_total counter
# TYPE a counter
# TYPE h histogram
# TYPE q summary
# TYPE "a.b" gauge
# UNIT a_seconds seconds
# a comment
a 1 # {b="c"} 1
a_total 1 2 # {b="c"} 1 2

""".split(b"\n")
# What a line is held together by, and what else may stand in it: as often drawn the one as the other.
STRUCTURE = [*rb"""{ } " , = # \ "," ="" ,} {, {}""".split(), b" ", b"\t", b"\n"]
TOKENS = rb"""\\ \" \n + - . 0 1 9 _ : a le quantile __name__ _bucket _total NaN Inf +Inf -Inf nan inf infinity 1e3 1e-3
1e999 -0 0x1 1_0 00 .5 5. 1.0 0.1 1e+06 123456789 9223372036854775807 9223372036854775808 -1 HELP TYPE UNIT counter
gauge histogram summary untyped unknown info "" ,, == "x" b="c" le="1" le="+Inf" quantile="0.9" {le="1.0"} "a.b"
gaugehistogram""".split()
TOKENS += [b" # {} 1", b' # {a="b"} 1 1', b"# TYPE a ", b"  ", b"\n\n", b"\r", b"\r\n", b"\x00", b"\x0b", b"\x1f"]
TOKENS += [b"\xff", b"\xed\xa0\x80", *map(str.encode, "é\u00a0\u2028\u0663")]


class Mutator:
    """Pages without end; `next` gives the one that a page was made from with it."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        recorded = {line for path in sorted(EXPOSITIONS.glob("*.prom")) for line in path.read_bytes().split(b"\n")}
        # One of each kind: lines alike but for their numbers and texts are many.
        kinds = {re.sub(rb'"[^"]*"|[0-9.e+-]+', b"", line): line for line in sorted(recorded)}
        self._recorded = sorted(kinds.values())
        self._pool: list[bytes] = [b"a 1\n"]

    def next(self) -> tuple[bytes, bytes]:
        draw = self._random.random()
        before = self._random.choice(self._pool) if draw < 0.6 else self._fresh()
        page = before if draw > 0.9 else self.mutated(before)
        self._keep(before if draw > 0.8 else page)
        return before, page

    def seed(self, seed: int) -> None:
        """As if made anew, but for the pages that it has met."""
        self._random.seed(seed)

    def large(self, page: bytes, size: int) -> bytes:
        """A page with one token or line, or a label that differs, so often that it has `size` bytes."""
        some = self._random
        draw = some.random()
        if draw < 0.3:
            line = some.choice(page.split(b"\n")) + b"\n"
            return line * (size // len(line) + 1)
        if draw < 0.5:
            labels = b",".join(b'l%d="x%d"' % (number, number) for number in range(size // 12))
            return b"a{" + labels + some.choice((b"} 1\n", b" 1\n", b"", b"}"))
        token = self._any_token()
        return self._token(page, lambda old: old + token * (size // len(token)))

    def mutated(self, page: bytes) -> bytes:
        """One to four changes."""
        for _ in range(self._random.choice((1, 1, 1, 2, 2, 4))):
            page = self._random.choice(CHANGES)(self, page)
        return page[:MOST_BYTES]

    def _fresh(self) -> bytes:
        some = self._random
        lines = [
            some.choice(self._recorded if some.random() < 0.1 else MADE) for _ in range(some.randint(1, LINES_AT_MOST))
        ]
        if some.random() < 0.2:
            lines = [*filter(None, lines), b"# EOF"]
        return b"\n".join(lines) + b"\n" * some.choice((1, 1, 1, 0))

    def _keep(self, page: bytes) -> None:
        if len(self._pool) < POOL:
            self._pool.append(page)
        else:
            self._pool[self._random.randrange(POOL)] = page

    # Changes

    def swap_token(self, page: bytes) -> bytes:
        return self._token(page, lambda token: self._any_token())

    def insert_token(self, page: bytes) -> bytes:
        return self._token(page, lambda token: token + self._any_token())

    def drop_token(self, page: bytes) -> bytes:
        return self._token(page, lambda token: b"")

    def repeat_token(self, page: bytes) -> bytes:
        return self._token(page, lambda token: token * self._random.choice((2, 2, 3, 17, 40)))

    def change_number(self, page: bytes) -> bytes:
        found = list(re.finditer(rb"[0-9]+", page))
        if not found:
            return page
        match = self._random.choice(found)
        new = str(self._random.getrandbits(self._random.choice((1, 4, 16, 64)))).encode()
        return page[: match.start()] + new + page[match.end() :]

    def change_byte(self, page: bytes) -> bytes:
        at = self._random.randrange(len(page) + 1)
        return page[:at] + bytes([self._random.randrange(256)]) + page[at + self._random.randrange(2) :]

    def swap_lines(self, page: bytes) -> bytes:
        lines = page.split(b"\n")
        self._random.shuffle(lines)
        return b"\n".join(lines)

    def repeat_line(self, page: bytes) -> bytes:
        lines = page.split(b"\n")
        line = self._random.choice(lines)
        lines.insert(self._random.randrange(len(lines) + 1), line)
        return b"\n".join(lines)

    def drop_line(self, page: bytes) -> bytes:
        lines = page.split(b"\n")
        del lines[self._random.randrange(len(lines))]
        return b"\n".join(lines)

    def add_line(self, page: bytes) -> bytes:
        lines = page.split(b"\n")
        lines.insert(self._random.randrange(len(lines) + 1), self._random.choice(MADE))
        return b"\n".join(lines)

    def splice(self, page: bytes) -> bytes:
        other = self._random.choice(self._pool)
        return page[: self._random.randrange(len(page) + 1)] + other[self._random.randrange(len(other) + 1) :]

    def _any_token(self) -> bytes:
        return self._random.choice(STRUCTURE if self._random.random() < 0.5 else TOKENS)

    def _token(self, page: bytes, change: Callable[[bytes], bytes]) -> bytes:
        if not page:
            return self._any_token()
        # Tokens near a place at random: those of a whole page would take longer than reading it.
        at = self._random.randrange(len(page))
        match = _token.search(page, at)
        return page[: match.start()] + change(match[0]) + page[match.end() :] if match else page


CHANGES = (
    Mutator.swap_token,
    Mutator.swap_token,
    Mutator.insert_token,
    Mutator.insert_token,
    Mutator.drop_token,
    Mutator.repeat_token,
    Mutator.change_number,
    Mutator.change_byte,
    Mutator.swap_lines,
    Mutator.repeat_line,
    Mutator.drop_line,
    Mutator.add_line,
    Mutator.splice,
)
