import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.exposition import parse
from collector.fields import Sources, read_fields
from support import PAGES, snapshot_of

PAGE = parse(
    "# TYPE r gauge\n"
    'r{rank="0",model="a,b"} 1\nr{rank="1",model="a,b"} 2\nr{rank="1",model="say \\"c\\""} 4\n'
    "# TYPE n gauge\nn NaN\n# TYPE i gauge\ni +Inf\n"
    '# TYPE h histogram\nh_bucket{le="1.0"} 3\nh_bucket{le="+Inf"} 5\nh_sum 9\nh_count 5\n'
)


def value(text, parts=(), exposition=PAGE):
    fields = read_fields(text)
    return list(fields.read(Sources(dict(parts), exposition)).values())


@pytest.mark.parametrize(
    ("selector", "found"),
    [
        pytest.param("r", 7, id="all-added-up"),
        pytest.param('r{rank="1"}', 6, id="by-a-label"),
        pytest.param('r{rank="1",model="a,b"}', 2, id="a-comma-in-quotes"),
        pytest.param('r { rank = "1" , model = "a,b" , }', 2, id="blanks-and-a-last-comma"),
        pytest.param('r{model="say \\"c\\""}', 4, id="an-escaped-quote"),
        pytest.param('r{rank="9"}', None, id="no-such-series"),
        pytest.param('r{pid=""}', 7, id="a-label-that-is-not-there-is-empty"),
        pytest.param("r{}", 7, id="empty-braces"),
        pytest.param("s", None, id="no-such-metric"),
        pytest.param("n", None, id="nan-says-nothing"),
        pytest.param("i", None, id="infinity-says-nothing"),
        pytest.param('h_bucket{le="1"}', 3, id="a-bound-as-a-number"),
        pytest.param('h_bucket{le="+Inf"}', 5, id="the-last-bound"),
        pytest.param("h_count", 5, id="a-histograms-count"),
    ],
)
def test_a_selector_is_the_sum_of_the_series_that_have_its_labels(selector, found):
    assert value(selector) == [found]


SNAPSHOT = snapshot_of(PAGES / "sglang-0.5.23-dp2-load.prom")


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("system_metrics.num_requests_running", SNAPSHOT.system_metrics.num_requests_running),
        ("request_metrics.time_to_first_token.p95.value", SNAPSHOT.request_metrics.time_to_first_token.p95.value),
        ("request_metrics.http_responses_by_class.2xx", SNAPSHOT.request_metrics.http_responses_by_class["2xx"]),
        ("request_metrics.http_responses_by_class.7xx", None),
        ("cache_metrics.hicache.host_used_tokens", None),
        ("ranks.1.num_requests_running", SNAPSHOT.ranks[1].num_requests_running),
        ("ranks.7.num_requests_running", None),
        ("models", ", ".join(SNAPSHOT.models)),
        ("models.0", SNAPSHOT.models[0]),
        ("engine", "sglang"),
        ("version_range.at_least", "0.5.23"),
        ("vllm.gpu_blocks", None),
    ],
)
def test_a_path_leads_to_one_value_of_the_snapshot(path, found):
    assert value(path, SNAPSHOT) == [found]


def test_columns_stand_in_the_order_asked_for_and_once():
    fields = read_fields('health.status,r{rank="0",model="a,b"}, engine ,health.status')
    assert fields.texts == ["health.status", 'r{rank="0",model="a,b"}', "engine"]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "neither"),
        ("a,,b", "neither"),
        ("a,", "neither"),
        ("a b", "neither"),
        ("9a", "neither"),
        ("=cmd", "neither"),
        ("a.b", "neither"),
        ("système", "neither"),
        ("a{", "is no field"),
        ("a}", "is no field"),
        ('a{b="c}', "is no field"),
        ("a{b}", "labels are written"),
        ('a{b=~"c"}', "labels are written"),
        ('a{b="c" d="e"}', "labels are written"),
        ("a{b=c}", "labels are written"),
        ("system_metrics", "is a group"),
        ("system_metrics.", "there is no ''"),
        ("system_metrics.nothing", "there is no 'nothing'"),
        ("system_metrics.num_requests_running.value", "nothing below"),
        ("request_metrics.http_responses_by_class", "is a group"),
        ("interval.time_to_first_token.p95", "is a group"),
        ("interval.time_to_first_token.p96.value", "there is no 'p96'"),
        ("ranks", "is a list"),
        ("ranks.x.dp_rank", "is a list"),
        ("ranks.-1.dp_rank", "is a list"),
        ("ranks.99999.dp_rank", "is a list"),
        ("ranks.0", "is a group"),
        ("health.findings", "is a list"),
        ("timestamp", "each row has its own"),
        ("code", "each row has its own"),
        ("raw_metrics", "each row has its own"),
        ("system_metrics.__class__", "there is no"),
        ("system_metrics.model_fields", "there is no"),
        (",".join(f"a{number}" for number in range(51)), "more than 50"),
    ],
)
def test_what_is_no_field_is_refused_by_name(text, words):
    with pytest.raises(ValueError, match=words):
        read_fields(text)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from([*'a.,{}"=\\ \n0', "health", "ranks", ".0", "p95", "interval", '="x"']), max_size=30
    ).map("".join)
)
def test_any_text_is_fields_that_can_be_read_or_refused(text):
    try:
        fields = read_fields(text)
    except ValueError:
        return
    assert fields.read(Sources(dict(SNAPSHOT), PAGE)).keys() == {*fields.texts}
    assert fields.headlines({}, None).keys() == {*fields.texts}
    assert fields.need_pages(True) or not fields.need_pages(False)
