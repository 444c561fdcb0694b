"""What to try, for each finding: by engine, `""` for any. No entry: nothing that would help in general.

A hint names only flags that the server is known to have. Where not every release has one, `… of any release` is what
else there is to say. An item keeps the key alone, so words may change and keys may not.
"""

from collections.abc import Mapping

from collector.engines.releases import NO_RANGE
from collector.findings.flags import has_all
from collector.snapshot import VersionRange

ANY_RELEASE = " of any release"
STUCK = (
    "Look at the scheduler's log and its stack (py-spy dump), then restart it. "
    "--watchdog-timeout, 300 s unless it is set, ends a scheduler that hangs in a forward pass."
)

HINTS: Mapping[str, Mapping[str, str]] = {
    "stalled": {
        "sglang": STUCK,
        "": "Look at its log, then restart it.",
    },
    "rank_stalled": {
        "sglang": STUCK,
        "": "Look at the rank's log, then restart the server.",
    },
    "scheduler_not_beating": {
        "sglang": (
            "Compilation, graph capture and an unchunked prefill block the loop for a while: "
            "--chunked-prefill-size bounds the last. "
            "Otherwise look at its stack (py-spy dump); --watchdog-timeout ends one that hangs in a forward pass."
        ),
    },
    "paused": {
        "sglang": "A weight update pauses generation. If none is under way, POST /continue_generation resumes it.",
    },
    "no_progress": {"": "Look again in a minute: compilation and a very long prompt end by themselves."},
    "not_admitting": {
        "sglang": (
            "The first request in the queue may not fit: raise --mem-fraction-static (and --max-total-tokens if it is "
            "set), or bound prompts with --context-length. With grammars, see num_requests_waiting_for_grammar."
        ),
        "vllm": (
            "The first request in the queue may not fit: raise --gpu-memory-utilization or lower --max-model-len."
        ),
        "tgi": "The first request in the queue may not fit: bound what one may take with --max-total-tokens.",
    },
    "saturated by KV space": {
        "sglang": (
            "KV space is what lacks: raise --mem-fraction-static (and --max-total-tokens if it is set), "
            "use --kv-cache-dtype fp8_e5m2, or add servers."
        ),
        "vllm": "KV space is what lacks: raise --gpu-memory-utilization, use --kv-cache-dtype fp8, or add servers.",
    },
    "saturated by request slots": {
        "sglang": "It runs as many requests as it has ever run: raise --max-running-requests, or add servers.",
        "vllm": "It runs as many requests as it has ever run: raise --max-num-seqs, or add servers.",
        # Not --max-batch-total-tokens: with Flash Attention TGI works that out itself and ignores the flag; what it
        # admits by is a request's prompt and `max_new_tokens` together (its backends/v3/src/lib.rs and queue.rs).
        "tgi": (
            "It runs as many requests as it has ever run: raise --max-batch-size if it is set, "
            "lower --max-total-tokens, which is what each may take, or add servers."
        ),
    },
    "saturated": {
        "sglang": (
            "KV space is free and requests wait: lower --schedule-conservativeness so that more are admitted, "
            "raise --chunked-prefill-size, or add servers."
        ),
        "vllm": "Raise --max-num-batched-tokens, or add servers.",
        "tgi": "Raise --max-batch-prefill-tokens or lower --waiting-served-ratio, or add servers.",
    },
    "kv_nearly_full": {
        "sglang": (
            "Raise --mem-fraction-static (and --max-total-tokens if it is set), "
            "or lower --max-running-requests. If requests are retracted, raise --schedule-conservativeness."
        ),
        "vllm": "Raise --gpu-memory-utilization or lower --max-num-seqs.",
    },
    "server_errors": {"": "The server's log has the reason for each."},
    "kv_transfers_failed": {
        "sglang": (
            "Check that prefill and decode servers reach each other: --disaggregation-bootstrap-port, "
            "--disaggregation-ib-device, and the same --disaggregation-transfer-backend on both. "
            "Clients that leave in the middle of a transfer count too."
        ),
    },
    "slow_first_token": {
        "sglang": (
            "If requests wait, see saturation; else prompts are long: "
            "--chunked-prefill-size, --schedule-policy lpm where they share prefixes, "
            "or prefill servers of their own (--disaggregation-mode)."
        ),
        "vllm": "If requests wait, add servers; else prompts are long: --max-num-batched-tokens.",
    },
    "slow_first_token of any release": {
        "sglang": (
            "If requests wait, see saturation; else prompts are long: "
            "--chunked-prefill-size, or --schedule-policy lpm where they share prefixes."
        ),
    },
    "slow_tokens": {
        "sglang": (
            "Batches are large, or prefills interrupt them: "
            "lower --max-running-requests or --chunked-prefill-size, or try --enable-mixed-chunk."
        ),
        "vllm": "Batches are large, or prefills interrupt them: lower --max-num-seqs or --max-num-batched-tokens.",
        "tgi": "Batches are large: bound them with --max-batch-size, or add servers.",
    },
    "rank_imbalance": {
        "sglang": (
            "--load-balance-method chooses how requests are spread over ranks; long prompts weigh more than short."
        ),
    },
    "rank_imbalance of workers": {
        "sglang": (
            "The router's --policy chooses the worker: power_of_two goes by load, cache_aware does so once "
            "--balance-abs-threshold and --balance-rel-threshold are passed. "
            "Between ranks of one worker it is the worker's --load-balance-method."
        ),
    },
    "endpoint_balanced": {
        "": "Register each server by its own address. If it is one server, it keeps restarting: see its log.",
    },
    "cache_thrashing": {
        "sglang": (
            "Prefixes are pushed out before they are used again: "
            "send requests that share one to the same server (the router's --policy cache_aware), "
            "raise --mem-fraction-static, or keep them in host memory with --enable-hierarchical-cache."
        ),
        "vllm": (
            "Prefixes are pushed out before they are used again: "
            "send requests that share one to the same server, or raise --gpu-memory-utilization."
        ),
    },
    "gauge_frozen": {
        "sglang": "Trust the interval's figures. --decode-log-interval sets how often gauges are refreshed.",
    },
    "slow_scrape": {
        "sglang": (
            "The HTTP server's loop is busy: raise --tokenizer-worker-num. Or the page has grown: allow fewer labels "
            "(--tokenizer-metrics-allowed-custom-labels), do without --enable-metrics-for-all-schedulers."
        ),
    },
    "slow_scrape of any release": {
        "sglang": "The HTTP server's loop is busy, as with many or long requests to be tokenized: add servers.",
    },
    "unknown_engine": {"": "Check the target's endpoint and engine."},
    "empty_page": {"sglang": "Through 0.5.2 a fresh server says nothing before its first request."},
    "not_compared": {"": "Collect it again: the next scrape has something to compare with."},
    "metrics_not_enabled": {
        "sglang": "Start SGLang with --enable-metrics.",
        "": "Check the path: the server answers, and has nothing there.",
    },
    "not_an_exposition": {"": "Check the endpoint: a login page or another service answers there."},
    "page_over_limit": {"": "Check the endpoint; if the page has to be so large, raise that limit: PAGE_LIMITS."},
    "endpoint_forbidden": {
        "": "See ALLOWED_PORTS, ALLOWED_CIDRS, ALLOWED_HOST_SUFFIXES, ALLOW_PUBLIC_ADDRESSES and what is never allowed."
    },
    "secret_unavailable": {"": "Check the name, the role's permissions, and the VPC endpoint of its service."},
    "secret_forbidden": {"": "See SECRETS_PREFIX and ALLOW_SECRETS_OVER_HTTP."},
    "stale": {"": "Look at the collector: its schedule, its queue, and the target's registration."},
    "dns_failed": {"": "Check the name in the endpoint, and the resolver of the collector's VPC."},
    "connection_refused": {
        "sglang": (
            "Nothing listens there: is the server up, on that --port? Without --host it listens on 127.0.0.1, "
            "and others do not reach it."
        ),
        "vllm": "Nothing listens there: is the server up, on that --port and a --host that others reach?",
        "tgi": "Nothing listens there: is the server up, on that --port and a --hostname that others reach?",
        "": "Nothing listens there: is the server up, on that port and an address that others reach?",
    },
    "connection_failed": {"": "Check routes and security groups."},
    "connection_lost": {"": "See the server's log, and that of a proxy before it: it crashed, was killed or let go."},
    "tls_failed": {"": "Check that the port speaks TLS, 1.2 or later."},
    "certificate_expired": {"": "Renew the certificate; check the server's clock if it is new."},
    "certificate_wrong_name": {"": "Register the name that the certificate is for, or add this one to it."},
    "certificate_untrusted": {"": "Name the authority's certificate in the registration's ca."},
    "connect_timeout": {"": "Check security groups and routes: packets vanish, or the host is down."},
    "timeout": {"": "It accepts and does not answer: its HTTP loop is blocked. Look at its CPU and its log."},
    "page_timeout": {"": "The page comes too slowly: look at the network, the size of the page, and its timeout."},
    "not_http": {"": "Check the endpoint's port: another service answers there, or one that wants https."},
    "header_too_large": {"": "Check what answers there: a proxy that adds headers, or no metrics server at all."},
    "bad_framing": {"": "Look for a broken proxy before the server: ask both and compare."},
    "page_truncated": {"": "See the server's log, and that of a proxy before it: the page was cut off."},
    "page_too_large": {"": "Find the label that makes the page grow, or raise the limit that is named."},
    "bad_content": {"": "Let the proxy before the server send plain text or gzip, once."},
    "http_status": {"": "The server or a proxy before it refuses: check the path and whether it asks for a login."},
    "redirect": {"": "Ask the server where it points to, as with curl -I, and register that address."},
}


def hint(key: str, engine: str, version: VersionRange = NO_RANGE) -> str | None:
    """What a server of these releases may be told; without a range, what one of any release may."""
    text = _text(key, engine)
    return text if text is None or has_all(version, engine, text) else _text(key + ANY_RELEASE, engine)


def _text(key: str, engine: str) -> str | None:
    by_engine = HINTS.get(key, {})
    return by_engine.get(engine, by_engine.get(""))


_KEYS = {text: key for key, by_engine in HINTS.items() for text in by_engine.values()}


def kept(hint: str | None) -> str | None:
    """What an item keeps of a hint: where it stands, or one with the same words; else the words themselves."""
    return _KEYS.get(hint, hint) if hint else None


def told(kept: str | None, engine: str) -> str | None:
    """The hint of which that was kept, in today's words. None for a key of another release; words end in a stop."""
    if kept is None or kept in HINTS:
        return kept and _text(kept, engine)
    return kept if kept.endswith((".", "?")) else None
