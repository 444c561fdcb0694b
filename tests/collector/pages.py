"""What parsing a page gives, in a form that can be compared."""

from collector.errors import ExpositionError
from collector.exposition import parse
from support import PAGES

RECORDED = sorted(PAGES.glob("*.prom"))


def facts(page):
    """All that parsing a page gives, NaN made comparable."""
    try:
        exposition = parse(page)
    except ExpositionError as error:
        return str(error)
    samples = [(s.name, s.labels, repr(s.value), s.timestamp_ms, s.type) for s in exposition.samples]
    return samples, exposition.bad_lines, exposition.bad_line_count, exposition.types
