"""`make bench`: every bench, one table each."""

from tests.bench import exposition, fleet, schedule

if __name__ == "__main__":
    exposition.main()
    print()  # noqa: T201
    fleet.main()
    print()  # noqa: T201
    schedule.main()
