"""Ids, labels and the registry's log line: what may stand there, however it is spelled."""

import boto3
import pytest
from pydantic import TypeAdapter, ValidationError

from collector import registry
from collector.targets import InstanceId, Labels

ID, LABELS = TypeAdapter(InstanceId), TypeAdapter(Labels)
HOSTILE = [
    pytest.param("a\nb", id="line-feed"),
    pytest.param("a\n", id="line-feed-at-the-end"),
    pytest.param("a\r\nX-Header: 1", id="header"),
    pytest.param("a\0", id="null"),
    pytest.param("\x1b[2J", id="escape"),
    pytest.param("a\x9b2J", id="escape-in-one"),
    pytest.param("a\x85b", id="next-line"),
    pytest.param("a\u2028b", id="line-separator"),
    pytest.param("a\u202eb", id="right-to-left"),
    pytest.param("a\u2066b", id="isolated"),
    pytest.param("a\udc80", id="half-a-character"),
]


@pytest.mark.parametrize("text", HOSTILE)
def test_neither_an_id_nor_a_label_has_control_characters(text):
    for adapter, value in ((ID, text), (LABELS, {"team": text}), (LABELS, {text: "search"})):
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "a#b",
        "a/b",
        "a?b",
        "a%2Fb",
        "a b",
        "=a",
        "+a",
        "@a",
        'a"b',
        "a'b",
        "a{b",
        "ｓglang",
        "sglаng",
        "é",
        "a" * 129,
    ],
)
def test_an_id_is_of_a_few_ascii_characters(text):
    with pytest.raises(ValidationError):
        ID.validate_python(text)


@pytest.mark.parametrize("word", ["", "Suche", "検索", "=1+1", "a#b", "naïve 😀", "a" * 256])
def test_a_label_is_any_word_in_any_language(word):
    assert LABELS.validate_python({"team": word}) == {"team": word}


@pytest.mark.parametrize("name", ["", "1a", "a-b", "tеam", "a" * 64, "a b", "a=b"])
def test_a_labels_name_is_as_prometheus_has_it(name):
    with pytest.raises(ValidationError):
        LABELS.validate_python({name: "search"})


@pytest.mark.usefixtures("table")
@pytest.mark.parametrize("name", ["a\nERROR forged", "a\u2028b", "\x1b[2J", "a" * 1000])
def test_an_item_of_other_hands_is_one_short_line_of_log(name, caplog):
    forged = {"pk": {"S": "target"}, "sk": {"S": name}, "engine": {"S": "sglang"}, "labels": {"M": {name: {"S": "x"}}}}
    boto3.client("dynamodb").put_item(TableName="targets", Item=forged)
    assert list(registry.read_all()) == []
    [record] = caplog.records
    assert record.message.isprintable()
    assert len(record.message) < 800
