"""What many tests need: recorded pages, the extra material beside the repository, and a page as a snapshot."""

from datetime import UTC, datetime
from pathlib import Path

import pytest

from collector.exposition import parse
from collector.reading import engine as engine_of
from collector.snapshot import ScrapeFacts, Snapshot
from collector.targets import Target

ROOT = Path(__file__).parents[1]
PAGES = ROOT / "tests" / "expositions"
SHARED = ROOT.parent / "shared"
ASKED_AT = datetime(2026, 11, 24, 3, 0, tzinfo=UTC)
NO_SHARED = "the extra pages are not beside the repository"

needs_shared = pytest.mark.skipif(not (SHARED / "expositions").is_dir(), reason=NO_SHARED)


def target(**changes: object) -> Target:
    fields = {
        "instance_id": "sglang-001",
        "engine": "sglang",
        "endpoint": "http://10.0.0.1:30000/metrics",
        "slot_ms": 1,
    }
    return Target.model_validate(fields | changes)


def snapshot_of(page: bytes | str | Path, engine: str = "sglang") -> Snapshot:
    """A page, or the file that holds it, as an engine reads it."""
    exposition = parse(page.read_bytes() if isinstance(page, Path) else page)
    facts = ScrapeFacts(
        duration_seconds=0.02, wire_bytes=1000, page_bytes=1000, samples=len(exposition.samples), bad_lines=0
    )
    return engine_of(engine).read_snapshot(exposition, target(engine=engine), ASKED_AT, facts)
