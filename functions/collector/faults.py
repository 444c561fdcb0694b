"""What went wrong with a scrape, as an error of ours: which server, which step, and what was seen there.

Never what the page, its header, its redirect or its certificate says.
"""

import json
import ssl
from urllib.parse import urlsplit

import urllib3
from urllib3.exceptions import HTTPError, ProtocolError, ReadTimeoutError, SSLError

from collector.connections import TLS_HANDSHAKE, NotConnectedError, is_cut
from collector.errors import (
    CertificateExpired,
    CertificateUntrusted,
    CertificateWrongName,
    ConnectDeadlineError,
    ConnectionFailed,
    ConnectionLost,
    DeadlineError,
    FramingError,
    HeaderTooLargeError,
    MetricsNotEnabled,
    NotHttpError,
    PageDeadlineError,
    RedirectError,
    RefusedError,
    ScrapeError,
    StatusError,
    TlsError,
    TooLargeError,
    TruncatedError,
)
from collector.framing import MAX_HEADER_BYTES, CutShort, Exchange, Misframed, OverLimitError
from collector.policy import Destination


def not_a_page(where: str, destination: Destination, response: urllib3.BaseHTTPResponse) -> ScrapeError:
    status = response.status
    if 300 <= status < 400:
        return RedirectError(
            f"{where}: answered {status} and points to {_whither(destination, response)}; it is not followed"
        )
    if status == 404 and _has_json_detail(response):
        path = destination.path.partition("?")[0][:80]
        return MetricsNotEnabled(f"{where}: answered 404 for {path}: was SGLang started with --enable-metrics?")
    return StatusError(f"{where}: answered {status} instead of 200", status)


def _whither(destination: Destination, response: urllib3.BaseHTTPResponse) -> str:
    """Not the address itself: where servers inside point to is not for a caller from outside."""
    try:
        host = urlsplit(response.headers["location"]).hostname
    except (KeyError, ValueError):
        return "nowhere"
    if not host:
        return "another path of the same server"
    return "another address of the same host" if host == destination.host else "another host"


def _has_json_detail(response: urllib3.BaseHTTPResponse) -> bool:
    try:
        answer = json.loads(response.read(1024, decode_content=False))
    except (HTTPError, ValueError, RecursionError, OverLimitError):
        return False
    return isinstance(answer, dict) and "detail" in answer


CERTIFICATE_FAULTS: dict[int, tuple[type[TlsError], str]] = {  # by OpenSSL's X509_V_ERR number
    9: (CertificateExpired, "the certificate is not valid yet"),
    10: (CertificateExpired, "the certificate has expired"),
    18: (CertificateUntrusted, "the certificate is signed by itself, not by a known authority"),
    19: (CertificateUntrusted, "the certificate's authority is not a known one"),
    20: (CertificateUntrusted, "the certificate's authority is not a known one"),
    62: (CertificateWrongName, "the certificate is for another name"),
    64: (CertificateWrongName, "the certificate is for another address"),
}
NOT_TLS = {"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "PACKET_LENGTH_TOO_LONG"}


def explain_connection(failure: NotConnectedError, where: str, seconds: float, connect_seconds: float) -> ScrapeError:
    match failure.__cause__:
        case TimeoutError():
            limit = "the limit connect_seconds" if seconds == connect_seconds else "what its timeout leaves"
            return ConnectDeadlineError(f"{where}: no {failure.step} within {seconds:.1f} s, {limit}")
        case ConnectionRefusedError():
            return RefusedError(f"{where}: connection refused, nothing listens there")
        case ssl.SSLCertVerificationError() as fault:
            error, reason = CERTIFICATE_FAULTS.get(fault.verify_code, (CertificateUntrusted, fault.verify_message))
            return error(f"{where}: no TLS session: {reason}")
        case fault if failure.step == TLS_HANDSHAKE:
            return TlsError(f"{where}: no TLS session: {_tls_reason(fault)}")
        case ConnectionResetError():  # it was accepted, and let go at once
            return ConnectionLost(f"{where}: closed or reset before an answer")
        case fault:
            return ConnectionFailed(f"{where}: no connection: {getattr(fault, 'strerror', None) or 'unknown reason'}")


def _tls_reason(fault: BaseException | None) -> str:
    match fault:
        case ssl.SSLError() if fault.reason in NOT_TLS:
            return "what listens there does not speak TLS"
        case ssl.SSLError() if fault.reason and not is_cut(fault):
            return fault.reason.lower().replace("_", " ")
        case _:
            return "the connection was closed"


def explain(
    failure: Exception, where: str, seconds: float, exchange: Exchange | None = None, wire_bytes: int = 0
) -> ScrapeError:
    """What happened to an answer: before its body if no exchange is given, else while the body was read."""
    awaited = "the whole page" if exchange else "an answer"
    so_far = f", {exchange.received_bytes} bytes came" if exchange else ""
    fault = failure.args[-1] if isinstance(failure, ProtocolError | SSLError) else failure
    match fault:
        case ReadTimeoutError() | TimeoutError():
            late = PageDeadlineError if exchange else DeadlineError
            return late(f"{where}: {awaited} did not come within {seconds:.1f} s, its timeout{so_far}")
        case OverLimitError() if exchange:
            return TooLargeError(f"{where}: the page takes more on the wire than the limit wire_bytes, {wire_bytes}")
        case OverLimitError():
            return HeaderTooLargeError(
                f"{where}: the answer's header is larger than {MAX_HEADER_BYTES} bytes or has over 100 lines"
            )
        case ssl.SSLError():
            return TlsError(f"{where}: the TLS session broke before {awaited}{so_far}: {_tls_reason(fault)}")
        case OSError():
            return ConnectionLost(f"{where}: closed or reset before {awaited}{so_far}")
        case CutShort():
            return TruncatedError(f"{where}: closed in the middle of the answer's header")
        case Misframed():
            return FramingError(f"{where}: where the page ends is not clear: {fault}")
        case _ if exchange and exchange.ended:
            return TruncatedError(f"{where}: closed before {awaited}{so_far}")
        case _:
            return NotHttpError(f"{where}: the answer is not HTTP/1")
