"""A server's history and its pages, read back through the API out of a table."""

import base64
import csv
import gzip
import io
import json
import random
import time
from collections import Counter
from functools import partial

import boto3
import pytest
from calls import ask, call
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from collector import batches, history, pages, rows, store
from collector.asked import Asked
from collector.engines import sglang
from collector.errors import LateError
from collector.exposition import parse
from collector.fields import DEFAULT
from collector.timespan import Span, iso
from handlers import history as routes
from past import Past, spoil_findings
from support import PAGES, SHARED, needs_shared

MINUTE_MS = 60_000
# A whole minute, two days ago.
T0 = time.time_ns() // 60_000_000_000 * MINUTE_MS - 2 * 86_400_000
RUNNING = "system_metrics.num_requests_running"
FINISHED = "interval.requests_finished"
ROWS_OWN = {"timestamp", "code", "error", "note"}


@pytest.fixture(autouse=True)
def _a_table(table):
    pass


def recorded(name):
    return (PAGES / f"sglang-0.5.23-{name}.prom").read_bytes()


def counting(finished, *, running=1, start=16.5, pid="7"):
    """A small page of a server that has finished so many requests."""
    return (
        f'# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs{{pid="{pid}"}} {running}\n'
        f"# TYPE sglang:startup_time_seconds gauge\nsglang:startup_time_seconds {start}\n"
        f"# TYPE sglang:num_requests_total counter\nsglang:num_requests_total {finished}\n"
        f"# TYPE sglang:generation_tokens_total counter\nsglang:generation_tokens_total {20 * finished}\n"
        f"# TYPE sglang:prompt_tokens_total counter\nsglang:prompt_tokens_total {10 * finished}\n"
    )


def page_that_does_not_name_its_process(finished):
    """A new life that has counted further than the one before looks like that one."""
    page = counting(finished).replace('{pid="7"}', "")
    return "".join(line for line in page.splitlines(keepends=True) if "startup" not in line)


def at(minutes):
    return T0 + round(minutes * MINUTE_MS)


def past_of(*finished):
    past = Past()
    for minute, count in enumerate(finished):
        past.good(at(minute), counting(count))
    return past


ask_history = partial(ask, "metrics-history")
ask_raw = partial(ask, "metrics-raw")


def read(first=0, last=60, **query):
    """The answer's JSON for those minutes."""
    query = {"start": iso(at(first)), "end": iso(at(last))} | query
    status, answer = call("metrics-history", query=query)
    assert status == 200, answer
    return answer


def read_rows(*arguments, **query):
    return read(*arguments, **query)["rows"]


def column(name, *arguments, **query):
    return [row[name] for row in read_rows(*arguments, fields=name, **query)]


def through_cursors(limit, **query):
    """All rows, and how many requests they took."""
    rows, cursor, requests = [], None, 0
    while cursor or not requests:
        answer = read(limit=limit, **query, **({"cursor": cursor} if cursor else {}))
        rows += answer["rows"]
        cursor = answer["next_cursor"]
        requests += 1
    return rows, requests


# Rows of single scrapes


def test_each_scrape_is_a_row_oldest_first():
    past_of(0, 30, 90)
    answer = read(fields=f"{FINISHED},interval.seconds,{RUNNING},sglang:num_requests_total")
    assert (answer["instance_id"], answer["engine"], answer["step_seconds"]) == ("sglang-001", "sglang", None)
    assert (answer["start"], answer["end"], answer["next_cursor"]) == (iso(at(0)), iso(at(60)), None)
    assert [list(row.values()) for row in answer["rows"]] == [
        [iso(at(0)), None, None, "no page before it", None, None, 1, 0],
        [iso(at(1)), None, None, None, 30, 60, 1, 30],
        [iso(at(2)), None, None, None, 60, 60, 1, 90],
    ]
    assert answer["rows"][0].keys() == ROWS_OWN | {*answer["fields"]}


def test_what_is_asked_for_by_default_is_told_without_a_page():
    past = Past()
    for minute, name in enumerate(("ok-1", "ok-2", "idle-1")):
        past.good(at(minute), recorded(name))
    boto3.client("dynamodb").delete_table(TableName=pages.table_name())
    pages.forget()
    answer = read()
    assert answer["fields"] == list(DEFAULT)
    assert [row[RUNNING] for row in answer["rows"]] == [2, 3, 0]
    assert [row["health.status"] for row in answer["rows"]] == ["unknown", "ok", "ok"]
    assert answer["rows"][1]["interval.time_to_first_token.p95.value"] > 0


def test_headlines_are_the_pages_numbers_to_four_digits():
    past = Past()
    for minute, name in enumerate(("ok-1", "ok-2")):
        past.good(at(minute), recorded(name))
    told = read_rows()[1]
    worked_out = read_rows(fields=",".join((*DEFAULT, "engine")))[1]
    for name in DEFAULT:
        is_number = isinstance(worked_out[name], float)
        assert told[name] == (pytest.approx(worked_out[name], rel=5e-4) if is_number else worked_out[name])


def test_the_interval_goes_back_to_the_page_before_the_first_row_and_before_a_cursor():
    past_of(0, 30, 90, 91, 95)
    assert column(FINISHED, 2) == [60, 1, 4]
    whole = read_rows(fields=FINISHED)
    in_parts, requests = through_cursors(2, fields=FINISHED)
    assert (in_parts, requests) == (whole, 3)


def test_a_failed_scrape_is_a_row_that_says_so_and_the_next_interval_passes_it_over():
    past = past_of(0, 30)
    past.failed(at(2))
    past.failed(at(3), LateError("not asked: its turn came 70 s late"))
    past.good(at(4), counting(60))
    answer = read_rows(fields=f"{FINISHED},interval.seconds,health.status")
    assert [(row["code"], row[FINISHED]) for row in answer] == [
        (None, None),
        (None, 30),
        ("connection_refused", None),
        ("late", None),
        (None, 30),
    ]
    assert answer[2]["error"] == "10.0.0.1:30000: nothing listens there"
    assert answer[4]["interval.seconds"] == 180


def test_an_empty_page_is_a_row_with_its_code():
    past_of(0).good(at(1), "")
    assert [(row["code"], row[RUNNING]) for row in read_rows()] == [(None, 1), ("empty_page", None)]
    assert [row["code"] for row in read_rows(fields="sglang:num_running_reqs")] == [None, "empty_page"]


def test_what_has_expired_never_appears():
    past = past_of(0, 30)
    Past(instance_id="sglang-001").good(at(-40 * 1440), counting(1))
    assert len(read_rows(-60 * 1440)) == 2
    assert len(past.fields) == 1
    status, answer = call("metrics-raw", query={"at": iso(at(-30 * 1440))})
    assert (status, answer["error_code"]) == (404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/metrics/sglang/nobody", "/api/v1/metrics/vllm/sglang-001"])
@pytest.mark.parametrize("route", ["history", "raw"])
@pytest.mark.parametrize("query", [{}, {"step": "60s"}])
def test_a_server_of_which_nothing_is_stored_by_that_engine_is_not_found(path, route, query):
    past_of(0)
    status, answer = call(f"metrics-{route}", path=f"{path}/{route}", query=query)
    assert (status, answer["error_code"]) == (404, "not_found")


def test_a_known_server_has_no_rows_where_nothing_was_scraped():
    past_of(0)
    assert (read(10, 20)["rows"], read(10, 20)["next_cursor"]) == ([], None)


# Steps


def test_a_steps_row_is_the_difference_of_its_end_points():
    past_of(0, 30, 90, 91, 95, 100, 160)
    answer = read(0, 6, step="3m", fields=f"{FINISHED},interval.seconds,sglang:num_requests_total")
    assert answer["step_seconds"] == 180
    assert [list(row.values()) for row in answer["rows"]] == [
        [iso(at(3)), None, None, None, 91, 180, 91],
        [iso(at(6)), None, None, None, 69, 180, 160],
    ]


def test_a_steps_quantile_is_of_its_own_observations_alone():
    past = Past()
    names = ["ok-1", "ok-2", "idle-1", "idle-2", "stalled-before"]
    for minute, name in enumerate(names):
        past.good(at(minute), recorded(name))
    fields = (
        "interval.time_to_first_token.count,interval.time_to_first_token.p95.value,interval.time_to_first_token.mean"
    )
    [row] = read_rows(0, 4, step="4m", fields=fields)
    engine = sglang.ENGINE
    first, last = parse(recorded(names[0])), parse(recorded(names[-1]))
    whole = engine.read_interval(first, last, past.target and store.read_newest("sglang-001").scraped_at, 240.0)[0]
    distribution = whole.time_to_first_token
    assert list(row.values())[4:] == [distribution.count, distribution.p95.value, distribution.mean]


@pytest.mark.parametrize("step", ["4m", "20m"], ids=["with-all-pages", "with-the-pages-needed"])
def test_gaps_stay_gaps(step):
    past = past_of(0, 30)
    minutes = int(step[:-1])
    past.failed(at(1.5 * minutes))
    past.good(at(3.5 * minutes), counting(90))
    answer = read_rows(0, 4 * minutes, step=step, fields=f"{FINISHED},{RUNNING}")
    assert [(row["code"], row[RUNNING], row[FINISHED]) for row in answer] == [
        (None, 1, 30),
        ("connection_refused", None, None),
        ("no_scrape", None, None),
        (None, 1, 60 if minutes == 4 else None),
    ]
    assert [row["timestamp"] for row in answer] == [iso(at(minutes * number)) for number in (1, 2, 3, 4)]


def test_beyond_a_long_gap_nothing_is_said_of_the_interval_and_the_note_says_why():
    past = past_of(0)
    past.good(at(60), counting(90))
    for query in ({}, {"step": "5m"}):
        row = read_rows(50, 60, fields=f"{FINISHED},{RUNNING}", **query)[-1]
        assert (row[RUNNING], row[FINISHED], row["note"]) == (1, None, "the page before is 1:00:00 older")


def test_a_step_that_is_not_over_is_the_last_and_later_ones_are_not_told():
    now_ms = time.time_ns() // 1_000_000
    Past().good(now_ms - MINUTE_MS, counting(5))
    query = {"start": iso(now_ms - 10 * MINUTE_MS), "end": iso(now_ms + 60 * MINUTE_MS), "step": "7m"}
    _, answer = call("metrics-history", query=query)
    assert [row["code"] for row in answer["rows"]] == ["no_scrape", None]
    assert answer["next_cursor"] is None


@pytest.mark.parametrize("step", ["1m", "2m", "7m", "13m", "30m"])
@pytest.mark.parametrize("limit", [1, 2, 5])
def test_rows_are_the_same_in_parts_of_any_length(step, limit):
    chance = random.Random(step)
    past, finished = Past(), 0
    for minute in range(40):
        finished += chance.randrange(20)
        if chance.random() < 0.2:
            past.failed(at(minute))
        elif chance.random() < 0.9:
            past.good(at(minute), counting(finished))
    query = {"step": step, "fields": f"{FINISHED},interval.seconds,{RUNNING},health.status"}
    whole = read(0, 45, **query)["rows"]
    assert len(whole) == -(-45 // int(step[:-1]))
    rows, cursor = [], {}
    while cursor is not None:
        answer = read(0, 45, limit=limit, **query, **cursor)
        assert len(answer["rows"]) <= limit
        rows += answer["rows"]
        cursor = answer["next_cursor"] and {"cursor": answer["next_cursor"]}
    assert rows == whole


def test_a_walk_that_has_read_its_share_says_where_to_go_on(monkeypatch):
    past_of(*range(0, 300, 10))
    monkeypatch.setattr(history, "QUERIES_AT_MOST", 2)
    monkeypatch.setattr(store, "RANGE_LIMIT", 4)
    rows, requests = through_cursors(1000, step="3m", fields=FINISHED, end=iso(at(29)))
    assert [row[FINISHED] for row in rows] == [30] * 9 + [20]
    assert requests > 3
    rows, _ = through_cursors(1000, step="20m", fields=FINISHED, end=iso(at(28)))
    assert [(row["code"], row[FINISHED]) for row in rows] == [("not_read", None), (None, 80)]


# What a page's life does to it


@pytest.mark.parametrize("step", [None, "1m", "3m"])
def test_a_restart_is_told_and_counted_from(step):
    past = past_of(100, 130)
    past.good(at(2), counting(40, pid="8", start=17.25))
    past.good(at(3), counting(50, pid="8", start=17.25))
    query = {"fields": f"{FINISHED},interval.restarted", **({"step": step} if step else {})}
    answer = {row["timestamp"]: list(row.values())[3:] for row in read_rows(0, 3, **query)}
    if step == "3m":
        assert answer == {iso(at(3)): [None, 50, True]}
    else:
        assert [answer[iso(at(minute))] for minute in (1, 2, 3)] == [
            [None, 30, False],
            [None, 40, True],
            [None, 10, False],
        ]


def test_a_restart_inside_a_step_that_its_end_points_do_not_show_is_refused():
    past = Past()
    for minute, finished in enumerate((100, 130, 20, 90, 170)):
        past.good(at(minute), page_that_does_not_name_its_process(finished))
    answer = read_rows(0, 4, step="4m", fields=f"{FINISHED},sglang:num_requests_total")
    assert [list(row.values())[3:] for row in answer] == [
        ["the server restarted in between, and the two pages do not show it", None, 170]
    ]


def test_a_restart_that_an_unreadable_page_alone_has_seen_is_refused_too():
    past = Past()
    for minute, finished in enumerate((100, 130, 20, 190)):
        past.good(at(minute), page_that_does_not_name_its_process(finished))
    key = {"instance_id": {"S": "sglang-001"}, "slot": {"N": str(at(2))}}
    unreadable = {":blob": {"B": b"\x09"}}
    boto3.client("dynamodb").update_item(
        TableName="snapshots",
        Key=key,
        UpdateExpression="SET #b = :blob",
        ExpressionAttributeNames={"#b": "blob"},
        ExpressionAttributeValues=unreadable,
    )
    pages.forget()
    for query in ({}, {"step": "1m"}):
        answer = read_rows(0, 3, fields=FINISHED, **query)[-2:]
        assert [(row["code"], row["note"], row[FINISHED]) for row in answer] == [
            ("unreadable_page", None, None),
            (None, "the server restarted in between, and the two pages do not show it", None),
        ]


def test_a_line_that_could_not_be_read_is_numbered_and_not_quoted():
    past = Past()
    past.good(at(0), counting(100) + "hidden password\n")
    [row, *_] = read_rows(0, 1, fields="scrape.first_bad_lines.0")
    assert row["scrape.first_bad_lines.0"] == "line 11: value is not a number"


@needs_shared
@pytest.mark.parametrize(
    ("old", "new"), [("0.4.6", "0.4.9.post6"), ("0.5.2", "0.5.9"), ("0.5.6.post2", "0.5.12.post1"), ("0.5.9", "0.5.23")]
)
@pytest.mark.parametrize("step", [None, "2m"])
def test_an_upgrade_that_renames_families_counts_from_zero(old, new, step):
    folder = SHARED / "expositions" / "generated"
    past = Past()
    for minute, release in enumerate((old, old, new)):
        past.good(at(minute), (folder / f"sglang-{release}-single.prom").read_bytes())
    truth = json.loads((folder / f"sglang-{new}-single.truth.json").read_text())["tokenizer"]
    fields = "interval.restarted,interval.prompt_tokens,interval.time_to_first_token.count,cache_metrics.kv_usage_ratio"
    row = read_rows(0, 2, fields=fields, **({"step": step} if step else {}))[-1]
    assert (row["interval.restarted"], row["interval.prompt_tokens"]) == (True, truth["prompt_tokens"])
    assert row["interval.time_to_first_token.count"] == truth["ttft"]["count"]
    assert row["cache_metrics.kv_usage_ratio"] is not None


@pytest.mark.parametrize(
    ("slot", "scraped", "words"),
    [
        pytest.param(2, 0.5, "the clock was set: the page before was asked for -30 s before it", id="back"),
        pytest.param(2, 1, "the clock was set: the page before was asked for 0 s before it", id="not-on"),
        pytest.param(2, 12, "the clock was set: the page before was asked for 660 s before it", id="far-on"),
    ],
)
@pytest.mark.parametrize("step", [None, "1m"])
def test_over_a_clock_that_was_set_nothing_is_said_of_the_interval(slot, scraped, words, step):
    past = past_of(0, 30)
    past.good(at(slot), counting(60), at(scraped))
    row = read_rows(0, 2, fields=f"{FINISHED},interval.seconds,{RUNNING}", **({"step": step} if step else {}))[-1]
    assert list(row.values())[3:] == [words, None, None, 1]


def test_pages_that_stand_in_another_order_than_they_were_scraped_are_no_restart():
    """The clock behind the slots went back, so what came later stands between what came before."""
    past = past_of(0, 30, 60)
    past.good(at(1.5), counting(90))
    assert [(row["note"] or "")[:15] for row in read_rows(fields=FINISHED)] == [
        "no page before ",
        "",
        "",
        "its counts fell",
    ]


# Pages that cannot be had, and old ones


def test_a_page_that_cannot_be_read_is_a_row_with_its_headlines():
    past = Past()
    for minute, name in enumerate(("ok-1", "ok-2", "idle-1")):
        past.good(at(minute), recorded(name))
    client = boto3.client("dynamodb")
    client.delete_item(TableName="snapshots", Key={"instance_id": {"S": "sglang-001"}, "slot": {"N": str(at(0))}})
    pages.forget()
    answer = read_rows(fields=f"{RUNNING},{FINISHED},health.status,sglang:num_running_reqs")
    assert [(row["code"], row[RUNNING], row["sglang:num_running_reqs"]) for row in answer] == [
        ("unreadable_page", 3, None),
        ("unreadable_page", 0, None),
    ]
    assert f"the page that it was told from, of slot {at(0)}, is gone" in answer[0]["error"]
    assert answer[0]["health.status"] == "ok"
    status, wrong = call("metrics-raw", query={"at": iso(at(1))})
    assert (status, wrong["error_code"]) == (404, "unreadable_page")


@pytest.mark.parametrize("query", [{}, {"step": "1m"}], ids=["scrapes", "steps"])
def test_findings_that_are_spoilt_are_told_in_their_own_row_and_the_headlines_stay(query):
    past = Past()
    past.failed(at(0))
    past.failed(at(1))
    assert spoil_findings() == 2
    past.good(at(2), recorded("load"))
    fields = f"health.status,health.findings.0.code,{RUNNING}"
    first, second, third = read_rows(-1 if query else 0, 2, fields=fields, **query)
    assert [row["health.status"] for row in (first, second, third)] == ["unknown", "unreachable", "unknown"]
    assert [row["code"] for row in (first, second, third)] == ["connection_refused", "connection_refused", None]
    codes = [row["health.findings.0.code"] for row in (first, second, third)]
    assert codes == ["unreadable_findings", "unreadable_findings", "not_compared"]
    assert third[RUNNING] > 0


def test_without_the_lines_that_a_fleet_shares_headlines_are_left():
    Past().good(at(0), recorded("ok-1"))
    for item in boto3.resource("dynamodb").Table("shapes").scan()["Items"]:
        boto3.resource("dynamodb").Table("shapes").delete_item(Key={"id": item["id"]})
    pages.forget()
    [row] = read_rows(fields=f"{RUNNING},engine")
    assert (row["code"], row[RUNNING], row["engine"]) == ("unreadable_page", 2, None)
    assert "the lines that it shares with other servers" in row["error"]


def test_scrapes_of_the_release_before_are_read_from_their_pages():
    past = Past()
    past.older_form(at(0), recorded("ok-1"))
    past.older_form(at(1), recorded("ok-2"))
    past.good(at(2), recorded("idle-1"))
    assert [row[RUNNING] for row in read_rows()] == [2, 3, 0]
    assert [row["health.status"] for row in read_rows()] == ["ok", "ok", "ok"]
    assert column(FINISHED) == [None, 280, 284]
    assert column(FINISHED, step="2m", last=2) == [564]
    assert ask_raw(query={"at": iso(at(1))})["body"].encode() == recorded("ok-2")


def test_a_field_that_an_engines_table_gets_later_is_read_out_of_an_older_scrape(monkeypatch):
    past_of(0, 30)
    field = "cache_metrics.mamba_usage_ratio"
    assert [row[field] for row in read_rows(fields=f"{field},engine")] == [None, None]
    monkeypatch.setitem(sglang.ENGINE.cache, "mamba_usage_ratio", [sglang.PerGroup("sglang:num_running_reqs")])
    assert column(field) == [1, 1]


@pytest.mark.parametrize(
    ("engine", "page", "fields"),
    [
        ("vllm", "vllm-0.33.0-dp2", ["vllm.gpu_blocks", 'vllm:num_requests_running{engine="1"}']),
        ("tgi", "tgi-documented", ["tgi.batch_max_tokens", "tgi_queue_size"]),
        ("sglang", "router-0.3.2-engine-metrics", ["ranks.1.worker", "system_metrics.num_requests_running"]),
    ],
)
def test_every_engine_has_a_history(engine, page, fields):
    Past(engine=engine).good(at(0), (PAGES / f"{page}.prom").read_bytes())
    path = f"/api/v1/metrics/{engine}/sglang-001/history"
    status, answer = call("metrics-history", path=path, query={"start": iso(at(0)), "fields": ",".join(fields)})
    assert status == 200
    [row] = answer["rows"]
    assert all(row[name] not in (None, "") for name in fields)


# CSV


def test_a_history_is_csv_where_the_caller_accepts_that():
    past = past_of(0, 30)
    past.failed(at(2))
    query = {"start": iso(at(0)), "end": iso(at(9)), "fields": f'{RUNNING},sglang:num_running_reqs{{pid="7"}}'}
    answer = ask_history(query=query | {"limit": 2}, headers={"accept": "text/csv, */*;q=0.1"})
    assert (answer["statusCode"], answer["headers"]["Content-Type"]) == (200, "text/csv; charset=utf-8")
    told = list(csv.reader(io.StringIO(answer["body"])))
    assert told == [
        ["timestamp", "code", "error", "note", RUNNING, 'sglang:num_running_reqs{pid="7"}'],
        [iso(at(0)), "", "", "", "1", "1.0"],
        [iso(at(1)), "", "", "", "1", "1.0"],
    ]
    cursor = answer["headers"]["X-Next-Cursor"]
    answer = ask_history(query=query | {"cursor": cursor}, headers={"accept": "text/csv"})
    [_, last] = csv.reader(io.StringIO(answer["body"]))
    assert last[1:] == ["connection_refused", "10.0.0.1:30000: nothing listens there", "", "", ""]
    assert "X-Next-Cursor" not in answer["headers"]


@pytest.mark.parametrize("first", ["=", "+", "-", "@", "\t", "\r"])
def test_text_that_a_spreadsheet_would_run_is_quoted(first):
    model = f'{first}HYPERLINK(""x"")'.replace('"', "'")
    page = f'# TYPE sglang:num_running_reqs gauge\nsglang:num_running_reqs{{model_name="{model}"}} 1\nneg -3\n'
    Past().good(at(0), page)
    answer = ask_history(query={"start": iso(at(0)), "fields": "models,neg"}, headers={"accept": "text/csv"})
    [_, row] = csv.reader(io.StringIO(answer["body"], newline=""))
    assert row[4:] == [f"'{model}", "-3.0"]


# Pages


def test_a_page_is_given_back_as_it_was_scraped():
    past = Past()
    for minute, name in enumerate(("ok-1", "ok-2")):
        past.good(at(minute), recorded(name))
    past.failed(at(2))
    for query, page in (({}, "ok-2"), ({"at": iso(at(1))}, "ok-2"), ({"at": iso(at(1) - 1)}, "ok-1")):
        answer = ask_raw(query=query)
        assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, False)
        assert answer["headers"]["Content-Type"] == "text/plain; version=0.0.4; charset=utf-8"
        assert answer["body"].encode() == recorded(page)
    assert answer["headers"]["X-Scraped-At"] == iso(at(0))
    assert ask_raw(query={"at": iso(at(0) - 1)})["statusCode"] == 404


def test_a_page_that_is_no_text_is_given_back_byte_for_byte():
    page = b'a 1\nb 2\na{b="\xff\xfe"} 1\n# \x80 odd\n'
    Past().good(at(0), page)
    answer = ask_raw(query={})
    assert (answer["statusCode"], answer["isBase64Encoded"]) == (200, True)
    assert base64.b64decode(answer["body"]) == page


def test_a_page_that_fits_no_answer_is_packed_for_who_can_unpack_it_and_refused_to_others():
    page = b"".join(b'a{b="%d",c="%s"} 1\n' % (number, b"x" * 250) for number in range(25_000))
    Past().good(at(0), page)
    status, refused = call("metrics-raw", query={})
    assert (status, refused["error_code"]) == (422, "answer_too_large")
    answer = ask_raw(query={}, headers={"accept-encoding": "gzip, br"})
    assert (answer["statusCode"], answer["headers"]["Content-Encoding"]) == (200, "gzip")
    assert gzip.decompress(base64.b64decode(answer["body"])) == page
    assert len(json.dumps(answer)) < 6 * 1024 * 1024


# Bounds


@pytest.mark.parametrize(
    ("bound", "value"), [("ANSWER_BYTES_AT_MOST", routes.ROOM_FOR_THE_REST + 500), ("SECONDS_AT_MOST", -1.0)]
)
@pytest.mark.parametrize("step", [{}, {"step": "1m"}])
def test_an_answer_that_is_full_or_took_long_ends_early_and_says_where_to_go_on(monkeypatch, bound, value, step):
    past_of(*range(0, 120, 10))
    whole = read_rows(0, 11, fields=FINISHED, **step)
    monkeypatch.setattr(routes, bound, value)
    in_parts, requests = through_cursors(1000, fields=FINISHED, end=iso(at(11)), **step)
    assert in_parts == whole
    assert requests > 3


CURSOR = base64.urlsafe_b64encode(bytes([1]) + bytes(26)).decode()


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ({"start": "yesterday"}, "query.start"),
        ({"start": "-6y"}, "query.start"),
        ({"start": "1795489200000"}, "query.start"),
        ({"start": "-1h", "end": "-2h"}, "query.start"),
        ({"end": "2026-02-30"}, "query.end"),
        ({"step": "0s"}, "query.step"),
        ({"step": "-1m"}, "query.step"),
        ({"step": "2d"}, "query.step"),
        ({"step": "1m; DROP"}, "query.step"),
        pytest.param({"step": "1s", "start": "-30d"}, "query.step", id="too-many-steps"),
        ({"limit": "0"}, "query.limit"),
        ({"limit": "1001"}, "query.limit"),
        ({"limit": "-1"}, "query.limit"),
        ({"limit": "1e2"}, "query.limit"),
        ({"limit": "ten"}, "query.limit"),
        ({"fields": ""}, "query.fields"),
        ({"fields": "system_metrics.nothing"}, "query.fields"),
        ({"fields": "a{b="}, "query.fields"),
        ({"fields": ",".join(f"a{number}" for number in range(51))}, "query.fields"),
        ({"cursor": ""}, "query.cursor"),
        ({"cursor": "x"}, "query.cursor"),
        ({"cursor": "é" * 36}, "query.cursor"),
        ({"cursor": "A" * 36}, "query.cursor"),
        ({"cursor": CURSOR}, "query.cursor"),
        ({"cursor": CURSOR + "=="}, "query.cursor"),
    ],
)
def test_a_wrong_field_of_the_question_is_422_and_named(query, field):
    past_of(0)
    status, answer = call("metrics-history", query=query)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, [field])


def test_every_wrong_field_is_named_at_once():
    status, answer = call("metrics-history", query={"start": "x", "end": "y", "step": "z", "fields": "="})
    assert status == 422
    assert {wrong["field"] for wrong in answer["fields"]} == {
        f"query.{name}" for name in ("start", "end", "step", "fields")
    }


@pytest.mark.parametrize("at_", ["tomorrow", "-1", "1795489200000", "", "9999-01-01"])
def test_a_wrong_time_of_a_page_is_422_and_named(at_):
    status, answer = call("metrics-raw", query={"at": at_})
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["query.at"])


@pytest.mark.parametrize(
    "other",
    [
        {"fields": FINISHED},
        {"step": "1m"},
        {"start": "-3d"},
        {"end": "-1s"},
        {"path": "/api/v1/metrics/sglang/sglang-002/history"},
    ],
    ids=lambda other: next(iter(other)),
)
def test_a_cursor_belongs_to_one_question(other):
    past_of(0, 30, 60)
    question = {"start": "-4d", "limit": 2}
    _, answer = call("metrics-history", query=question)
    again = {"cursor": answer["next_cursor"]}
    assert call("metrics-history", query=question | again | {"limit": 1})[0] == 200
    query = {name: value for name, value in other.items() if name != "path"}
    path = {"path": other["path"]} if "path" in other else {}
    status, answer = call("metrics-history", query=question | again | query, **path)
    assert (status, [wrong["field"] for wrong in answer["fields"]]) == (422, ["query.cursor"])


def test_a_cursor_keeps_the_time_that_a_relative_question_was_of():
    past_of(0, 30, 60)
    question = {"start": "-3d", "end": "-1d", "limit": 2}
    _, first = call("metrics-history", query=question)
    _, second = call("metrics-history", query=question | {"cursor": first["next_cursor"]})
    assert (first["start"], first["end"]) == (second["start"], second["end"])


TEXTS = st.text(max_size=20)
QUERIES = st.fixed_dictionaries(
    {},
    optional={
        "start": TEXTS | st.sampled_from(["-6h", "0", "-3d", "now", "2026-11-24"]),
        "end": TEXTS | st.sampled_from(["now", "-1h", "4102444799"]),
        "step": TEXTS | st.sampled_from(["1s", "60s", "1h", "1d", "86400"]),
        "fields": TEXTS
        | st.sampled_from([RUNNING, FINISHED, 'sglang:num_running_reqs{pid="7"}', "health.since", "a,b"]),
        "limit": TEXTS | st.integers(-5, 1005).map(str),
        "cursor": TEXTS | st.binary(min_size=27, max_size=27).map(lambda raw: base64.urlsafe_b64encode(raw).decode()),
        "at": TEXTS,
        "endpoint": TEXTS,
    },
)


@pytest.mark.parametrize(
    ("query", "most"),
    [
        pytest.param({}, {"Query": 1}, id="headlines"),
        pytest.param({"fields": FINISHED}, {"Query": 2, "BatchGetItem": 1}, id="pages"),
        pytest.param({"fields": FINISHED, "step": "1m"}, {"Query": 2, "BatchGetItem": 2}, id="steps"),
        pytest.param({"fields": FINISHED, "step": "15m"}, {"Query": 2, "BatchGetItem": 3}, id="long-steps"),
    ],
)
def test_a_history_is_read_in_few_calls_however_many_its_rows(query, most):
    past_of(*range(30))
    calls = Counter()

    def count(model, **_):
        calls[model.name] += 1

    pages.forget()
    batches.client().meta.events.register("before-call.dynamodb", count)
    assert read_rows(0, 30, **query)
    assert calls <= Counter(most)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["history", "raw"]), QUERIES, st.sampled_from(["text/csv", "application/json", ""]))
def test_whatever_is_asked_the_answer_is_a_page_not_found_or_a_named_mistake(route, query, accept):
    answer = ask(f"metrics-{route}", query=query, headers={"accept": accept})
    assert answer["statusCode"] in (200, 404, 422), answer
    if answer["statusCode"] == 422:
        assert json.loads(answer["body"])["fields"]


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.integers(0, 2**48 - 1), st.none() | st.just("1s"))
def test_a_cursor_with_a_right_checksum_leads_nowhere_else(start, end, position, step):
    asked = Asked("sglang", "sglang-001", "-1h", "now", step, RUNNING)
    cursor = asked.cursor(Span(start, end), max(position - 1, 0))
    query = {"fields": RUNNING, "cursor": cursor} | ({"step": step} if step else {})
    assert call("metrics-history", query=query)[0] in (200, 404, 422)


def test_a_row_of_each_kind_has_the_same_columns():
    past = past_of(0, 30)
    past.failed(at(2))
    for fields in (RUNNING, FINISHED, "sglang:num_running_reqs", ",".join(DEFAULT)):
        keys = {tuple(row) for row in read_rows(0, 4, step="1m", fields=fields)}
        assert keys == {(*rows.ROW_FIELDS, *fields.split(","))}
