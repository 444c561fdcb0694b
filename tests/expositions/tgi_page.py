"""Make a page of Text Generation Inference from its documentation, since it runs on a GPU only: see INDEX.md.

    python tests/expositions/tgi_page.py

writes `tgi-documented.prom` and `tgi-documented.truth.json` beside this file. Names, types and units are those of
https://huggingface.co/docs/text-generation-inference/reference/metrics; labels, bucket bounds and what counts as what
are its source's (release 3: router/src/server.rs, backends/v3/src). The format is its exporter's, which is the same as
that of SGLang's router: no HELP, a blank line after each family, whole numbers without a point. `tgi_batch_next_size`,
with a bucket for each size up to 1024, is left out.
"""

import json
import random
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

MAX_INPUT_TOKENS, MAX_TOTAL_TOKENS = 1024, 2048
FAILURES = {"validation": 3, "overloaded": 2, "generation": 1}
RUNNING, WAITING, BATCH_MAX_TOKENS = 6, 3, 9216

DURATIONS = [0.0001 * 1.5 ** (n + 1) for n in range(35)]
INPUT_LENGTHS = [MAX_INPUT_TOKENS / 100 * (n + 1) for n in range(100)]
TOTAL_LENGTHS = [MAX_TOTAL_TOKENS / 100 * (n + 1) for n in range(100)]


def number(value: float) -> str:
    return str(int(value)) if value == int(value) else repr(value)


def plain(kind: str, name: str, *series: tuple[str, float]) -> str:
    lines = [f"{name}{labels} {number(value)}" for labels, value in series]
    return "\n".join([f"# TYPE {name} {kind}", *lines, "", ""])


def histogram(name: str, bounds: Sequence[float], *series: tuple[str, Iterable[float]]) -> str:
    lines = [f"# TYPE {name} histogram"]
    for label, observed in series:
        values = list(observed)
        more = f"{label}," if label else ""
        below = [(number(bound), sum(value <= bound for value in values)) for bound in bounds]
        lines += [f'{name}_bucket{{{more}le="{bound}"}} {n}' for bound, n in [*below, ("+Inf", len(values))]]
        only = f"{{{label}}}" if label else ""
        lines += [f"{name}_sum{only} {number(sum(values))}", f"{name}_count{only} {len(values)}"]
    return "\n".join([*lines, "", ""])


def requests(chance: random.Random, count: int) -> list[dict[str, float]]:
    made: list[dict[str, float]] = []
    for _ in range(count):
        generated = chance.randint(4, 400)
        inference = chance.uniform(0.05, 0.4) + generated * chance.uniform(0.008, 0.03)
        one = {
            "input": chance.randint(5, 1000),
            "generated": generated,
            "max_new": chance.randint(generated, 1024),
            "validation": chance.uniform(0.0002, 0.002),
            "queue": chance.uniform(0.0005, 0.3),
            "inference": inference,
        }
        made.append(one | {"per_token": inference / generated, "total": sum(one[k] for k in TIMES)})
    return made


TIMES = ("validation", "queue", "inference")


def page(made: list[dict[str, float]], prefills: list[float], decodes: list[float]) -> str:
    def of(key: str) -> list[float]:
        return [one[key] for one in made]

    by_method = {"prefill": prefills, "decode": decodes}
    methods = [(f'method="{name}"', times) for name, times in by_method.items()]
    batches = [(f'{{method="{name}"}}', len(times)) for name, times in by_method.items()]
    return "".join(
        [
            plain("counter", "tgi_request_success", ("", len(made))),
            plain("counter", "tgi_request_failure", *((f'{{err="{name}"}}', n) for name, n in FAILURES.items())),
            plain("counter", "tgi_request_count", ("", len(made) + sum(FAILURES.values()) + RUNNING + WAITING)),
            plain("counter", "tgi_batch_inference_count", *batches),
            plain("counter", "tgi_batch_inference_success", *batches),
            plain("gauge", "tgi_queue_size", ("", WAITING)),
            plain("gauge", "tgi_batch_current_size", ("", RUNNING)),
            plain("gauge", "tgi_batch_current_max_tokens", ("", BATCH_MAX_TOKENS)),
            histogram("tgi_request_duration", DURATIONS, ("", of("total"))),
            histogram("tgi_request_validation_duration", DURATIONS, ("", of("validation"))),
            histogram("tgi_request_queue_duration", DURATIONS, ("", of("queue"))),
            histogram("tgi_request_inference_duration", DURATIONS, ("", of("inference"))),
            histogram("tgi_request_mean_time_per_token_duration", DURATIONS, ("", of("per_token"))),
            histogram("tgi_request_generated_tokens", TOTAL_LENGTHS, ("", of("generated"))),
            histogram("tgi_request_input_length", INPUT_LENGTHS, ("", of("input"))),
            histogram("tgi_request_max_new_tokens", TOTAL_LENGTHS, ("", of("max_new"))),
            histogram("tgi_batch_inference_duration", DURATIONS, *methods),
            histogram("tgi_batch_forward_duration", DURATIONS, *methods),
        ]
    )


def main() -> None:
    chance = random.Random("tgi")
    made = requests(chance, 40)
    prefills = [chance.uniform(0.02, 0.3) for _ in range(25)]
    decodes = [chance.uniform(0.008, 0.03) for _ in range(600)]
    truth: dict[str, Any] = {
        "success": len(made),
        "failures": FAILURES,
        "running": RUNNING,
        "waiting": WAITING,
        "input_tokens": sum(one["input"] for one in made),
        "generated_tokens": sum(one["generated"] for one in made),
        "durations": sorted(round(one["total"], 6) for one in made),
        "mean_seconds": {key: sum(one[key] for one in made) / len(made) for key in (*TIMES, "total", "per_token")},
        "prefill_seconds": sum(prefills) / len(prefills),
        "decode_seconds": sum(decodes) / len(decodes),
    }
    here = Path(__file__).parent
    (here / "tgi-documented.prom").write_text(page(made, prefills, decodes))
    (here / "tgi-documented.truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
