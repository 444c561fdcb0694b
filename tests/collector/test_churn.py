"""A day of a small fleet in which nothing stays as it is: all comes back, and little is written."""

import random
from itertools import pairwise

from keeping import NOW_MS, collect_all, until

from collector import batches, pages
from collector.batches import key_of, read_key
from collector.codec import ANCHOR_MS, anchor_of
from collector.frames import UNIT_BYTES
from collector.item import item_bytes

SLOT_SECONDS = 900
SLOTS = range(24 * 3600 // SLOT_SECONDS)
SERVERS = range(4)


def page(server, slot):
    """Restarts every five hours or so; a rolling upgrade that renames families; paths that are asked for once."""
    life, since = divmod(slot + 7 * server, 20)  # the second in slots since the restart
    release = 1 if slot < 40 + 2 * server else 2
    chance = random.Random(f"{server} {slot}")
    families = [[f'a_total{{rank="{rank}"}} {rank * since * 7}.0' for rank in range(40)]]
    families += [
        [f"# TYPE wait_{family}_r{release} histogram"]
        + [f'wait_{family}_r{release}_bucket{{le="{le}.0"}} {since * 31 + le}.0' for le in range(12)]
        + [
            f"wait_{family}_r{release}_sum {since * 31.7 + family}",
            f"wait_{family}_r{release}_count {since * 31 + 12}.0",
        ]
        for family in range(6)
    ]
    # Counters that are born with their first event, and gone after a restart.
    families += [[f'aborted_total{{reason="{reason}"}} {since}.0'] for reason in range(since // 4)]
    # Label values that nobody knew before, and that are never gone.
    families += [[f'lora_total{{adapter="{adapter}"}} 1.0' for adapter in range(slot // 20)]]
    families += [[f'http_requests_total{{path="/{server}-{number}"}} 1.0' for number in range(since)]]
    families += [[f'http_requests_total{{path="/once-{chance.getrandbits(64)}"}} 1.0']]
    families += [[f'paused{{pid="{1000 * life + server}"}} {chance.random()}']]
    random.Random(life * 10 + server).shuffle(families)
    return "".join(f"{line}\n" for family in families for line in family).encode()


def test_a_day_of_churn_comes_back_and_takes_few_writes(table):
    kept = {}
    for slot in SLOTS:
        slot_ms = NOW_MS + 1000 * SLOT_SECONDS * slot
        bodies = {f"sglang-{server}": page(server, slot) for server in SERVERS}
        kept |= {(name, slot_ms): body for name, body in bodies.items()}
        collect_all(bodies, slot_ms, interval_seconds=SLOT_SECONDS)
    items = batches.read("snapshots", map(key_of, kept), until())
    shapes = batches.client().scan(TableName="shapes")["Items"]
    pages.forget()
    told = pages.read_pages(items, "snapshots", until())
    assert {key: one.lines.page() for key, one in told.items()} == kept

    # Of two releases and what the day brought: no server has lines for itself, and none has new ones each hour.
    assert len(shapes) <= 8
    anchors = sorted(read_key(item) for item in items if anchor_of(item["blob"]["B"]) is None)
    assert max(later[1] - one[1] for one, later in pairwise(anchors) if one[0] == later[0]) == ANCHOR_MS
    assert len(anchors) <= len(SERVERS) * (24 + 2)
    units = sum(-(-item_bytes(item) // UNIT_BYTES) for item in [*items, *shapes])
    assert units <= 1.05 * len(kept)
