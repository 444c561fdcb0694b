"""A server's metrics at one moment, typed, and the answer that carries them."""

from datetime import UTC, datetime
from typing import Literal

from pydantic import Field

from collector.interval import Interval
from collector.sections import CacheMetrics, Count, Model, Number, RequestMetrics, SystemMetrics
from collector.specific import (
    GenerationMetrics,
    GpuMetrics,
    Router,
    Tgi,
    TgiRequestMetrics,
    ThroughputMetrics,
    Vllm,
    VllmRequestMetrics,
)
from collector.verdict import Health

Special = Literal["NaN", "+Inf", "-Inf"]


class RankMetrics(Model):
    """One data-parallel rank, read from its lowest pipeline and tensor rank."""

    dp_rank: int | None = Field(None, description="vLLM's `engine`. Null where the server has but one.")
    tp_rank: int | None = None
    pp_rank: int | None = None
    engine_type: str | None = None
    model_name: str | None = None
    num_requests_running: Count = None
    num_requests_waiting: Count = None
    gen_throughput_tokens_per_second: Number = None
    kv_usage_ratio: Number = None
    kv_used_tokens: Count = None
    kv_evictable_tokens: Count = None
    kv_capacity_tokens: Count = None
    retracted_total: Count = None
    decoded_tokens_total: Count = Field(
        None, description="As they are computed; SGLang's leave out each request's first token."
    )
    worker: str | None = Field(None, description="The server's address, on the page of a router that covers several.")


class VersionRange(Model):
    """Which releases expose such a page; no page names its version."""

    at_least: str | None = Field(
        None, description="The first checked release that shows the newest family on the page."
    )
    before: str | None = Field(
        None, description="The first checked release that would show or lack a family that this page lacks or shows."
    )


class ScrapeFacts(Model):
    """What the scrape itself cost and met."""

    duration_seconds: float
    wire_bytes: int = Field(description="As received, compressed if the server did.")
    page_bytes: int
    samples: int
    bad_lines: int = Field(description="Lines skipped because they are malformed.")
    first_bad_lines: tuple[str, ...] = Field(
        (), description="The first few, each with its number and what is wrong; not its text."
    )


class RawMetric(Model):
    """One sample of the page; a value that JSON has no number for is a string."""

    name: str
    type: str = Field(description="The family's type as the page declares it.")
    value: float | Special
    labels: dict[str, str]


class Snapshot(Model):
    """A server's metrics at one moment."""

    timestamp: datetime = Field(default_factory=lambda: datetime.now(UTC), description="When the page was asked for.")
    instance_id: str
    endpoint: str
    request_metrics: RequestMetrics
    cache_metrics: CacheMetrics
    system_metrics: SystemMetrics
    raw_metrics: tuple[RawMetric, ...] = Field((), description="Every sample of the page, in its order.")
    raw_metrics_omitted: int = Field(0, description="Samples left out because the answer would pass Lambda's 6 MB.")

    engine: str = "sglang"
    engine_type: str | None = Field(
        None, description="`unified`, `prefill`, `decode`, …; the one the numbers are of. `router` for SGLang's router."
    )
    other_engine_types: tuple[str, ...] = Field(
        (), description="Also on the page, listed in `ranks`, and not folded in."
    )
    models: tuple[str, ...] = ()
    version_range: VersionRange = VersionRange(at_least=None, before=None)
    ranks: tuple[RankMetrics, ...] = Field((), description="One row per data-parallel rank.")
    missing: tuple[str, ...] = Field((), description="Fields that the page does not say, as `section.field`.")
    scrape: ScrapeFacts | None = None
    interval: Interval | None = Field(
        None, description="Since the last good scrape; null where there is none to compare."
    )
    health: Health | None = None

    vllm: Vllm | None = None
    tgi: Tgi | None = None
    router: Router | None = None

    @property
    def says_nothing(self) -> bool:
        """Nothing on the page is known to its engine."""
        if self.vllm or self.tgi or self.router:
            return False
        sections = self.request_metrics, self.cache_metrics, self.system_metrics
        return all(getattr(one, name) is None for one in sections for name in type(one).model_fields)


class VllmSnapshot(Snapshot):
    """As vLLM's is answered: with the original design's names beside the others."""

    request_metrics: VllmRequestMetrics
    gpu_metrics: GpuMetrics
    throughput_metrics: ThroughputMetrics


class TgiSnapshot(Snapshot):
    """As TGI's is answered: with the original design's names beside the others."""

    request_metrics: TgiRequestMetrics
    generation_metrics: GenerationMetrics


SGLangMetricsSnapshot = Snapshot  # the original design's name, which its callers import


class CollectionResponse(Model):
    """What came of one collection. A server that could not be scraped is a result too."""

    success: bool
    instance_id: str
    timestamp: datetime
    error: str | None = Field(None, description="What went wrong, in words.")
    error_code: str | None = Field(
        None, description="What went wrong, for programs; `empty_page` can come with success."
    )
    metrics: Snapshot | VllmSnapshot | TgiSnapshot | None = None
    health: Health | None = Field(None, description="Of the server, also where it could not be scraped.")
