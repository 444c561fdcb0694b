"""The flags that hints name, and since which release a server has each; None: every release that was checked.

SGLang's were read off 21 wheels, 0.3.5.post2 to 0.5.23 (`server_args.py`, since 0.5.20 `arg_groups/fields/`): a release
is the first *checked* one that takes the flag. Its router's off `launch_router.py` and `router_args.py` of 0.1.9, 0.2.4
and 0.3.2; vLLM's off `arg_utils.py` and `cli_args.py` of 0.6.0, 0.6.6.post1, 0.8.5.post1, 0.11.0, 0.20.0 and 0.33.0;
TGI's off its documentation (https://huggingface.co/docs/text-generation-inference/reference/launcher). None has gone
since.
"""

import re
from collections.abc import Mapping

from collector.engines.sglang_versions import SGLANG
from collector.snapshot import VersionRange

FLAG = re.compile(r"--[a-z][a-z-]*[a-z]")

SGLANG_FLAGS: Mapping[str, str | None] = {
    "--chunked-prefill-size": None,
    "--context-length": None,
    "--decode-log-interval": None,
    "--disaggregation-bootstrap-port": "0.4.4.post4",
    "--disaggregation-ib-device": "0.4.5.post3",
    "--disaggregation-mode": "0.4.4.post4",
    "--disaggregation-transfer-backend": "0.4.5.post3",
    "--enable-hierarchical-cache": "0.4.3.post4",
    "--enable-metrics": None,
    "--enable-metrics-for-all-schedulers": "0.4.9.post6",
    "--enable-mixed-chunk": None,
    "--host": None,
    "--kv-cache-dtype": None,
    "--load-balance-method": None,
    "--max-running-requests": None,
    "--max-total-tokens": None,
    "--mem-fraction-static": None,
    "--port": None,
    "--schedule-conservativeness": None,
    "--schedule-policy": None,
    "--tokenizer-metrics-allowed-custom-labels": "0.5.3.post3",
    "--tokenizer-worker-num": "0.5.2",
    "--watchdog-timeout": None,
}
ROUTER_FLAGS: Mapping[str, str | None] = dict.fromkeys(
    ("--balance-abs-threshold", "--balance-rel-threshold", "--policy")
)

FLAGS: Mapping[str, Mapping[str, str | None]] = {
    "sglang": {**SGLANG_FLAGS, **ROUTER_FLAGS},
    "vllm": dict.fromkeys(
        (
            "--gpu-memory-utilization",
            "--host",
            "--kv-cache-dtype",
            "--max-model-len",
            "--max-num-batched-tokens",
            "--max-num-seqs",
            "--port",
        )
    ),
    "tgi": dict.fromkeys(
        (
            "--hostname",
            "--max-batch-prefill-tokens",
            "--max-batch-size",
            "--max-total-tokens",
            "--port",
            "--waiting-served-ratio",
        )
    ),
}


def has_all(version: VersionRange, engine: str, text: str) -> bool:
    """Whether a server of these releases is known to have every flag that a text names."""
    known = FLAGS.get(engine, {})
    since = (known.get(flag) for flag in FLAG.findall(text))
    return all(release is None or SGLANG.reaches(version, release) for release in since)
