"""Which release a page is from, told by the families on it: no page names its version."""

from collections.abc import Container, Mapping, Sequence

from collector.snapshot import VersionRange

NO_RANGE = VersionRange(at_least=None, before=None)


class Releases:
    """The checked releases of an engine, oldest first, and the families that tell them apart.

    `first_seen` has the families that a release is the first to show, `last_seen` the last release that shows a family.
    `beside` has families that come together with `anchor`: where that is and one of these is not, the release is older.
    """

    def __init__(
        self,
        order: Sequence[str],
        first_seen: Mapping[str, Sequence[str]],
        last_seen: Mapping[str, str],
        anchor: str,
        beside: Sequence[str],
    ) -> None:
        self._place = {release: place for place, release in enumerate(order)}
        self._first = {
            family: release
            for release in sorted(first_seen, key=self._place.__getitem__, reverse=True)
            for family in first_seen[release]
        }
        self._gone = {family: order[self._place[release] + 1] for family, release in last_seen.items()}
        self._anchor = anchor
        self._beside = sorted(beside, key=lambda family: self._place[self._first[family]])

    def range_of(self, names: Container[str]) -> VersionRange:
        """The releases that expose a page with samples of these names."""
        at_least = next((release for family, release in self._first.items() if family in names), None)
        too_new = [release for family, release in self._gone.items() if family in names]
        if self._anchor in names:
            too_new += [self._first[family] for family in self._beside if family not in names][:1]
        return VersionRange(at_least=at_least, before=min(too_new, key=self._place.__getitem__, default=None))

    def reaches(self, version: VersionRange, release: str) -> bool:
        """Whether the page proves that its server is of this release or a later one."""
        return version.at_least is not None and self._place[version.at_least] >= self._place[release]

    def differ(self, one: VersionRange, other: VersionRange) -> bool:
        """Whether no release exposes both of two pages."""
        return self._is_before(one, other) or self._is_before(other, one)

    def _is_before(self, one: VersionRange, other: VersionRange) -> bool:
        return one.before is not None and self.reaches(other, one.before)
