"""What schemathesis is told beside the document: a server that can be scraped, and names that several requests share.

Made-up addresses lead nowhere, and made-up names are never the same twice; half of what is valid gives way to these.
"""

import os
import re
import zlib

import schemathesis

INSTANCE_IDS = ("sglang-001", "sglang-002")
# A page, a page that is not there, and a port where nothing listens.
ENDPOINTS = [os.environ["SIMULATED_PAGE"], os.environ["SIMULATED_PAGE"] + "/none", "http://127.0.0.1:1/metrics"]
ENDPOINT = re.compile(r"[!-~]{1,2048}")
INSTANCE_ID = re.compile(r"[A-Za-z0-9._:-]{1,128}")


def _known(values, name, pattern, known):
    """The same, with the field replaced in half of the cases where it is a valid one; which half the value says."""
    if not isinstance(values, dict) or not isinstance(values.get(name), str) or not pattern.fullmatch(values[name]):
        return values
    number = zlib.crc32(values[name].encode())
    return values if number % 2 else values | {name: known[number // 2 % len(known)]}


@schemathesis.hook
def map_path_parameters(context, path_parameters):
    return _known(path_parameters, "instance_id", INSTANCE_ID, INSTANCE_IDS)


@schemathesis.hook
def map_query(context, query):
    return _known(query, "endpoint", ENDPOINT, ENDPOINTS)


@schemathesis.hook
def map_body(context, body):
    return _known(_known(body, "endpoint", ENDPOINT, ENDPOINTS), "instance_id", INSTANCE_ID, INSTANCE_IDS)
