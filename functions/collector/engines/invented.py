"""Names that the original design took for SGLang's: what they say counts where no real name is on the page."""

from collector.engines.page import Reading
from collector.engines.tables import Series

# No SGLang exposes them: on a page that has one, the original design's names are what it says.
NEVER_SGLANG = (
    "sglang:request_success_total",
    "sglang:request_input_tokens",
    "sglang:radix_cache_size",
    "sglang:num_requests_running",
    "sglang:throughput_tokens_per_second",
)


class Invented(Series):
    """A name that the original design made up, or used for something else. Last of all."""

    def read(self, at: Reading, suffix: str = "") -> float | None:
        return super().read(at, suffix) if any(name in at.page for name in NEVER_SGLANG) else None
