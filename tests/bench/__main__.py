"""`make bench`: every bench, one table each."""

from tests.bench import exposition, schedule

if __name__ == "__main__":
    exposition.main()
    print()  # noqa: T201
    schedule.main()
