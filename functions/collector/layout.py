"""What stands on a page but for its numbers."""

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property

from collector.lines import Heads

# A name, the labels without a bucket's `le`, and the types of its page. All buckets of a run have the same object.
Series = tuple[str, dict[str, str], Mapping[str, str]]


class Layout:
    """`series` and `les` side by side.

    The pages of a server mostly have the same object, so what is found out about it can be kept beside it.
    """

    def __init__(
        self,
        series: list[Series],
        les: list[str | None],
        labels: list[dict[str, str]] | None = None,
        page: bytes | None = None,
    ) -> None:
        self.series = series
        self.les = les
        self._labels = labels
        self._page = page
        # The limits that its names and labels are known to be within.
        self.within: object = None

    @cached_property
    def heads(self) -> Heads | None:
        """The lines, those of samples up to their values; None where they are more than are kept, or not all plain."""
        if self._page is None:
            return None
        lines = str(self._page, "utf-8", "surrogateescape").removesuffix("\n").split("\n")
        self._page = None
        return Heads([line[: line.rindex(" ") + 1] if line > "$" else line for line in lines])

    @cached_property
    def by_name(self) -> Mapping[str, Sequence[int]]:
        """Where the samples of a name are, each in the page's order."""
        by_name: dict[str, list[int]] = {}
        for index, one in enumerate(self.series):
            by_name.setdefault(one[0], []).append(index)
        return by_name

    @cached_property
    def labels(self) -> list[dict[str, str]]:
        """The labels of each sample, put together once for all pages that have them."""
        return all_labels(self.series, self.les) if self._labels is None else self._labels


def all_labels(series: Iterable[Series], les: Iterable[str | None]) -> list[dict[str, str]]:
    """The labels of each sample, `le` included."""
    return [one[1] if le is None else {**one[1], "le": le} for one, le in zip(series, les, strict=True)]
