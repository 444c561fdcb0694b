"""Pages that no server writes: an engine reads them or says nothing, and never breaks."""

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from collector.engines import ENGINES
from collector.snapshot import Snapshot
from support import PAGES, ROOT, snapshot_of

TABLES = (ROOT / "functions" / "collector" / "engines").glob("*.py")
FAMILIES = sorted(
    {name for file in TABLES for name in re.findall(r'"((?:sglang:|vllm:|tgi_|smg_)\w+)"', file.read_text())}
)
LABELS = {
    "dp_rank": ["0", "1", "7", "-1", "x", "", "99999999999"],
    "tp_rank": ["0", "1", "²", ""],
    "pp_rank": ["0", "1"],
    "engine_type": ["unified", "prefill", "decode", "dynamic", ""],
    "priority": ["", "0", "5"],
    "model_name": ["m", "n"],
    "le": ["0.1", "1.0", "+Inf", "NaN", "-Inf", "many", ""],
    "mode": ["decode", "prefill_cache"],
    "pool": ["kv", "mamba"],
    "status_code": ["200", "", "x"],
    "pid": ["1", "2"],
    "engine": ["0", "1", "x", ""],
    "finished_reason": ["stop", "abort", "?"],
    "method": ["prefill", "decode"],
    "worker": ["http://a", ""],
    "worker_addr": ["http://a", "http://b"],
    "kv_cache_size_tokens": ["8192", "None", "9" * 30],
}
numbers = st.sampled_from(["0", "1", "17.5", "-3", "1e300", "-1e300", "NaN", "+Inf", "-Inf", "9007199254740993"])
labels = st.dictionaries(st.sampled_from(sorted(LABELS)), st.integers(0, 6), max_size=5).map(
    lambda chosen: ",".join(f'{name}="{LABELS[name][n % len(LABELS[name])]}"' for name, n in chosen.items())
)
names = st.builds(str.__add__, st.sampled_from(FAMILIES), st.sampled_from(["", "_bucket", "_sum", "_count"]))
lines = st.builds("{}{{{}}} {}\n".format, names, labels, numbers)


@pytest.mark.parametrize("engine", ENGINES)
@settings(deadline=None)
@given(page=st.lists(lines, max_size=60))
def test_any_page_of_known_names_gives_a_snapshot_that_survives_json(engine, page):
    snapshot = snapshot_of("".join(page), engine)
    assert Snapshot.model_validate_json(snapshot.model_dump_json()) == snapshot


def test_the_order_of_a_page_does_not_matter():
    page = (PAGES / "sglang-0.5.23-dp2-load-later.prom").read_text().splitlines(keepends=True)
    samples = [line for line in page if not line.startswith("#")]
    assert snapshot_of("".join(reversed(samples))) == snapshot_of("".join(samples))
