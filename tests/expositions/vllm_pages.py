"""Make a page with vLLM's own metric classes, out of its released wheel, without a GPU: see INDEX.md.

    pip install numpy
    pip download --no-deps vllm==VERSION
    unzip vllm-VERSION-*.whl 'vllm/engine/metrics*' 'vllm/v1/metrics/*' \
        vllm/v1/engine/__init__.py vllm/v1/spec_decode/metrics.py -x vllm/v1/metrics/perf.py -d WHEEL
    python tests/expositions/vllm_pages.py WHEEL VERSION

writes `vllm-VERSION-….prom` and `.truth.json` beside this file. Names, types, labels, buckets and format are
vLLM's. The requests are made up, with a fixed seed; the truth is what was told to vLLM's classes. All that they import
and that is not among those files is a stub.
"""

import importlib
import importlib.abc
import importlib.machinery
import json
import random
import sys
import time
import types
from collections import Counter
from pathlib import Path
from typing import Any

from prometheus_client import REGISTRY, generate_latest

MODEL = "tiny-llama"
REASONS = ("stop", "stop", "stop", "length", "abort")
LATER_REASONS = ("error", "repetition")
CACHE_CONFIG = {
    "block_size": "16",
    "cache_dtype": "auto",
    "enable_prefix_caching": "True",
    "gpu_memory_utilization": "0.9",
    "num_gpu_blocks": "512",
}
STUBBED = ("vllm", "torch", "msgspec", "regex", "ray", "PIL")


class Stub:
    """Takes any use of a name that is imported and plays no part."""

    def __init__(self, *args: Any, **more: Any) -> None: ...
    def __init_subclass__(cls, **more: Any) -> None: ...
    def __class_getitem__(cls, item: Any) -> type:
        return cls

    def __call__(self, *args: Any, **more: Any) -> "Stub":
        return self

    def __getattr__(self, name: str) -> "Stub":
        if name.startswith("__"):
            raise AttributeError(name)
        return self


class StubModule(types.ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        # Constants are flags, and off; `init_logger` and the like are called; classes are inherited from.
        value: Any = False if name.isupper() else type(name, (Stub,), {}) if name[0].isupper() else Stub()
        setattr(self, name, value)
        return value


class Stubs(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Finds what nobody else does, for the packages in STUBBED."""

    def find_spec(self, name: str, path: Any, target: Any = None) -> importlib.machinery.ModuleSpec | None:
        if name.partition(".")[0] not in STUBBED:
            return None
        return importlib.machinery.ModuleSpec(name, self, is_package=True)

    def create_module(self, spec: importlib.machinery.ModuleSpec) -> types.ModuleType:
        return StubModule(spec.name)

    def exec_module(self, module: types.ModuleType) -> None:
        # A stub package still finds the wheel's own files.
        module.__path__ = [str(Path(entry, *module.__name__.split("."))) for entry in sys.path]


def release(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".")[:2])


def is_newer(version: str) -> bool:
    return release(version) >= (0, 12)


def config(cache_config: dict[str, str]) -> types.SimpleNamespace:
    bag = types.SimpleNamespace
    return bag(
        model_config=bag(served_model_name=MODEL, max_model_len=4096, is_diffusion=False, enforce_eager=True),
        observability_config=bag(show_hidden_metrics=False, kv_cache_metrics=False, custom_histogram_buckets=None),
        cache_config=bag(metrics_info=lambda: dict(cache_config)),
        speculative_config=bag(num_speculative_tokens=3),
        lora_config=None,
        watermark_config=None,
        kv_transfer_config=None,
    )


def requests(chance: random.Random, count: int, reasons: tuple[str, ...] = REASONS) -> list[dict[str, Any]]:
    return [
        {
            "reason": chance.choice(reasons),
            "prompt_tokens": 16 * chance.randint(2, 60),
            "generated_tokens": chance.randint(2, 90),
            "queue": chance.uniform(0.001, 0.4),
            "prefill": chance.uniform(0.02, 1.5),
            "inter_token": chance.uniform(0.005, 0.04),
        }
        for _ in range(count)
    ]


def timed(request: dict[str, Any]) -> dict[str, float]:
    decode = request["inter_token"] * (request["generated_tokens"] - 1)
    return {
        "ttft": request["queue"] + request["prefill"],
        "decode": decode,
        "inference": request["prefill"] + decode,
        "e2e": request["queue"] + request["prefill"] + decode,
    }


def truth_of(made: list[dict[str, Any]], gauges: dict[str, float]) -> dict[str, Any]:
    return {
        **gauges,
        "requests": dict(Counter(request["reason"] for request in made)),
        "prompt_tokens": sum(request["prompt_tokens"] for request in made),
        "generated_tokens": sum(request["generated_tokens"] for request in made),
        "ttft": sorted(round(timed(request)["ttft"], 6) for request in made),
        "e2e": sorted(round(timed(request)["e2e"], 6) for request in made),
        "queue_sum": sum(request["queue"] for request in made),
        "inter_token_count": sum(request["generated_tokens"] - 1 for request in made),
        "inter_token_sum": sum(timed(request)["decode"] for request in made),
    }


def v0(made: list[dict[str, Any]], gauges: dict[str, Any]) -> None:
    """The engine of 0.6: one, without a rank label."""
    metrics = importlib.import_module("vllm.engine.metrics")
    kinds = importlib.import_module("vllm.engine.metrics_types")
    told = config(CACHE_CONFIG)
    told.speculative_config = None
    logger = metrics.PrometheusStatLogger(local_interval=0, labels={"model_name": MODEL}, vllm_config=told)
    logger.info("cache_config", told.cache_config)
    times = [timed(request) for request in made]
    tokens = sum(request["prompt_tokens"] + request["generated_tokens"] for request in made)
    logger.log(
        kinds.Stats(
            now=time.time() + 1,
            num_running_sys=gauges["running"],
            num_waiting_sys=gauges["waiting"],
            num_swapped_sys=gauges["swapped"],
            gpu_cache_usage_sys=gauges["kv_usage"],
            cpu_cache_usage_sys=0.0,
            cpu_prefix_cache_hit_rate=-1.0,
            gpu_prefix_cache_hit_rate=gauges["hit_rate_gauge"],
            num_prompt_tokens_iter=sum(request["prompt_tokens"] for request in made),
            num_generation_tokens_iter=sum(request["generated_tokens"] for request in made),
            num_tokens_iter=tokens,
            time_to_first_tokens_iter=[one["ttft"] for one in times],
            time_per_output_tokens_iter=[
                request["inter_token"] for request in made for _ in range(request["generated_tokens"] - 1)
            ],
            num_preemption_iter=gauges["preempted"],
            time_e2e_requests=[one["e2e"] for one in times],
            time_queue_requests=[request["queue"] for request in made],
            time_inference_requests=[one["inference"] for one in times],
            time_prefill_requests=[request["prefill"] for request in made],
            time_decode_requests=[one["decode"] for one in times],
            time_in_queue_requests=[request["queue"] for request in made],
            model_forward_time_requests=[],
            model_execute_time_requests=[],
            num_prompt_tokens_requests=[request["prompt_tokens"] for request in made],
            num_generation_tokens_requests=[request["generated_tokens"] for request in made],
            n_requests=[1] * len(made),
            max_num_generation_tokens_requests=[],
            max_tokens_requests=[],
            finished_reason_requests=[request["reason"] for request in made],
            waiting_lora_adapters=[],
            running_lora_adapters=[],
            max_lora="0",
        )
    )


def v1(version: str, engines: dict[int, tuple[list[dict[str, Any]], dict[str, Any]]]) -> None:
    """The engines of a data-parallel server, each with an `engine` label."""
    loggers = importlib.import_module("vllm.v1.metrics.loggers")
    stats = importlib.import_module("vllm.v1.metrics.stats")
    reasons = importlib.import_module("vllm.v1.engine").FinishReason
    drafts = importlib.import_module("vllm.v1.spec_decode.metrics").SpecDecodingStats
    newer = is_newer(version)
    told = config(CACHE_CONFIG | ({"kv_cache_size_tokens": "8176"} if newer else {}))
    logger = loggers.PrometheusStatLogger(told, list(engines))
    logger.log_engine_initialized()
    if newer:
        logger.record_sleep_state()
    for engine, (made, gauges) in engines.items():
        iteration = stats.IterationStats()
        if newer:
            computed = iteration.prompt_token_stats
            computed.total = sum(request["prompt_tokens"] for request in made)
            computed.cached_tokens = computed.local_cache_hit = gauges["prefix_hits"]
            computed.computed = computed.total - computed.cached_tokens
        else:
            iteration.num_prompt_tokens = sum(request["prompt_tokens"] for request in made)
        iteration.num_generation_tokens = sum(request["generated_tokens"] for request in made)
        iteration.num_preempted_reqs = gauges["preempted"]
        for request in made:
            times = timed(request)
            iteration.time_to_first_tokens_iter.append(times["ttft"])
            iteration.inter_token_latencies_iter += [request["inter_token"]] * (request["generated_tokens"] - 1)
            iteration.finished_requests.append(
                stats.FinishedRequestStats(
                    finish_reason=reasons[request["reason"].upper()],
                    e2e_latency=times["e2e"],
                    num_prompt_tokens=request["prompt_tokens"],
                    num_generation_tokens=request["generated_tokens"],
                    queued_time=request["queue"],
                    prefill_time=request["prefill"],
                    inference_time=times["inference"],
                    decode_time=times["decode"],
                    mean_time_per_output_token=request["inter_token"],
                )
            )
        caching = stats.PrefixCacheStats(
            requests=len(made), queries=gauges["prefix_queries"], hits=gauges["prefix_hits"]
        )
        speculation = drafts.new(3)
        speculation.num_drafts = gauges["drafts"]
        speculation.num_draft_tokens = 3 * gauges["drafts"]
        speculation.num_accepted_tokens = gauges["accepted"]
        speculation.num_accepted_tokens_per_pos = [gauges["accepted"], 0, 0]
        scheduler = stats.SchedulerStats(
            num_running_reqs=gauges["running"],
            num_waiting_reqs=gauges["waiting"],
            kv_cache_usage=gauges["kv_usage"],
            prefix_cache_stats=caching,
            spec_decoding_stats=speculation,
        )
        logger.record(scheduler, iteration, engine_idx=engine)


def main() -> None:
    wheel, version = sys.argv[1:]
    sys.path.insert(0, wheel)
    sys.meta_path.append(Stubs())
    chance = random.Random(version)
    if release(version) < (0, 7):
        made = requests(chance, 24)
        gauges = {"running": 5, "waiting": 2, "swapped": 1, "kv_usage": 0.375, "hit_rate_gauge": 0.25, "preempted": 3}
        v0(made, gauges)
        truth = {"engines": {"0": truth_of(made, gauges)}}
    else:
        reasons = REASONS + LATER_REASONS if is_newer(version) else REASONS
        engines = {
            engine: (
                requests(chance, count, reasons),
                {
                    "running": 4 + 3 * engine,
                    "waiting": 2 * engine,
                    "kv_usage": 0.25 + 0.5 * engine,
                    "prefix_queries": 4096 * (1 + engine),
                    "prefix_hits": 1024 * (1 + 2 * engine),
                    "preempted": 1 + engine,
                    "drafts": 100 + 50 * engine,
                    "accepted": 90 + 20 * engine,
                },
            )
            for engine, count in enumerate((18, 30))
        }
        v1(version, engines)
        truth = {"engines": {str(engine): truth_of(*told) for engine, told in engines.items()}}
    page = generate_latest(REGISTRY)
    assert b"vllm:num_requests_running{" in page, "these are not vLLM's own classes"
    here, name = Path(__file__).parent, f"vllm-{version}{'-dp2' if len(truth['engines']) == 2 else ''}"
    (here / f"{name}.prom").write_bytes(page)
    (here / f"{name}.truth.json").write_text(json.dumps(truth, indent=1) + "\n")


if __name__ == "__main__":
    main()
