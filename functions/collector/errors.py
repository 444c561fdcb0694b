"""Why a target could not be collected: one class for each thing an operator would do something different about.

CollectorError
├── NotAskedError                                  the slot was passed over
│   ├── LateError            late                  its turn came when the next slot was due already
│   └── BackedOffError       backed_off            the server failed several times in a row and is tried less often
├── PolicyError              endpoint_forbidden    the endpoint may not be fetched
├── SecretError              secret_unavailable    the secret or the authority that it names cannot be had, or used
│   └── SecretForbidden      secret_forbidden      it may not name it, or not send it there
├── ScrapeError                                    the page could not be fetched
│   ├── DnsError             dns_failed            the name has no address
│   ├── RefusedError         connection_refused    nothing listens there
│   ├── ConnectionFailed     connection_failed     unreachable: no connection was made
│   ├── ConnectionLost       connection_lost       reset, or closed without an answer
│   ├── TlsError             tls_failed            no TLS session, or it broke
│   │   ├── CertificateExpired    certificate_expired     the certificate's term is over or has not begun
│   │   ├── CertificateWrongName  certificate_wrong_name  the certificate is for another name or address
│   │   └── CertificateUntrusted  certificate_untrusted   nobody vouches for the certificate
│   ├── DeadlineError        timeout               connected, and no answer within the time given
│   │   ├── ConnectDeadlineError  connect_timeout  no connection or TLS session within its time
│   │   └── PageDeadlineError     page_timeout     the page began to come, and was not whole in time
│   ├── StatusError          http_status           an answer other than 200
│   ├── RedirectError        redirect              an answer that points elsewhere; never followed
│   ├── MetricsNotEnabled    metrics_not_enabled   SGLang without --enable-metrics
│   ├── NotHttpError         not_http              what answers does not speak HTTP/1
│   ├── HeaderTooLargeError  header_too_large      more header than anybody needs, or interim answers without end
│   ├── FramingError         bad_framing           where the page ends is not said, or said wrongly
│   ├── TruncatedError       page_truncated        the page ended before the server said it would
│   ├── TooLargeError        page_too_large        more bytes than the limit, on the wire or decompressed
│   └── ContentError         bad_content           an encoding that was not asked for, or cannot be undone
├── PageLimitError           page_over_limit       more lines, samples or labels than the limits, or longer ones
└── ExpositionError          not_an_exposition     a page that is not in the text format

A CollectorError is a result about a target and is stored as one; anything else is a bug of ours.
"""


class CollectorError(Exception):
    """What kept a target from being collected: `code` for programs, the message for an operator."""

    code = "collector_error"


class NotAskedError(CollectorError):
    code = "not_asked"


class LateError(NotAskedError):
    code = "late"


class BackedOffError(NotAskedError):
    code = "backed_off"


class PolicyError(CollectorError):
    code = "endpoint_forbidden"


class SecretError(CollectorError):
    """Names the reference, never the value."""

    code = "secret_unavailable"


class SecretForbidden(SecretError):
    """`field` is the registration's."""

    code = "secret_forbidden"

    def __init__(self, field: str, message: str) -> None:
        super().__init__(message)
        self.field = field


class ScrapeError(CollectorError):
    code = "scrape_failed"


class DnsError(ScrapeError):
    code = "dns_failed"


class RefusedError(ScrapeError):
    code = "connection_refused"


class ConnectionFailed(ScrapeError):
    code = "connection_failed"


class ConnectionLost(ScrapeError):
    code = "connection_lost"


class TlsError(ScrapeError):
    code = "tls_failed"


class CertificateExpired(TlsError):
    code = "certificate_expired"


class CertificateWrongName(TlsError):
    code = "certificate_wrong_name"


class CertificateUntrusted(TlsError):
    code = "certificate_untrusted"


class DeadlineError(ScrapeError):
    code = "timeout"


class ConnectDeadlineError(DeadlineError):
    code = "connect_timeout"


class PageDeadlineError(DeadlineError):
    code = "page_timeout"


class StatusError(ScrapeError):
    code = "http_status"

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class RedirectError(ScrapeError):
    code = "redirect"


class MetricsNotEnabled(ScrapeError):
    code = "metrics_not_enabled"


class NotHttpError(ScrapeError):
    code = "not_http"


class HeaderTooLargeError(ScrapeError):
    code = "header_too_large"


class FramingError(ScrapeError):
    code = "bad_framing"


class TruncatedError(ScrapeError):
    code = "page_truncated"


class TooLargeError(ScrapeError):
    code = "page_too_large"


class ContentError(ScrapeError):
    code = "bad_content"


class PageLimitError(CollectorError):
    """Says what was seen, the limit's name and its value, and nothing that the page holds."""

    code = "page_over_limit"

    def __init__(self, seen: str, limit: str, value: int) -> None:
        super().__init__(f"{seen}, more than the limit {limit}, {value}")
        self.limit = limit


class ExpositionError(CollectorError):
    """Names the first line that could not be read, from 1.

    `line` is its text, cut short. It is not in the message: a caller who names an address does not learn what is there.
    """

    code = "not_an_exposition"

    def __init__(self, number: int, line: str, reason: str) -> None:
        super().__init__(f"line {number}: {reason}")
        self.number = number
        self.line = line
        self.reason = reason
