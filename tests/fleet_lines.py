"""Lines of a fleet view as servers at work leave them: every figure another."""

import random

from collector import slots
from collector.shards import Line

MODELS = ["meta-llama/Llama-3.1-8B-Instruct", "Qwen/Qwen3-235B-A22B-Instruct-2507", "deepseek-ai/DeepSeek-V3.1"]


def figure(number):
    return float(f"{number:.4g}")


def line(instance_id="sglang-001", slot_ms=1_795_489_200_000, interval_seconds=60, **changes):
    """One at work; its figures follow from its name and slot."""
    chance = random.Random(f"{instance_id} {slot_ms}")
    at_ms = slot_ms + chance.randrange(2_000)
    fields = {
        "instance_id": instance_id,
        "slot_ms": slot_ms,
        "at_ms": at_ms,
        "interval_seconds": interval_seconds,
        "engine": "sglang",
        "models": (MODELS[slots.position(instance_id) % len(MODELS)],),
        "status": chance.choice(["ok", "ok", "ok", "idle", "saturated"]),
        "since_ms": at_ms - chance.randrange(100_000_000),
        "progress_ms": at_ms - chance.choice([0, 0, 0, chance.randrange(100_000)]),
        "last_good_slot_ms": slot_ms,
        "failures": 0,
        "code": None,
        "run": float(chance.randrange(300)),
        "wait": float(chance.choice([0, 0, chance.randrange(50)])),
        "kv": figure(chance.random()),
        "tps": figure(chance.random() * 9_000),
        "hit": figure(chance.random()),
        "ttft": figure(chance.random() * 3),
    }
    return Line(**fields | changes)


def instance_names(size):
    """As EC2 calls them."""
    chance = random.Random(size)
    return [f"i-{chance.getrandbits(68):017x}" for _ in range(size)]
