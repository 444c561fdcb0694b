"""`make bench`: every bench, one table each."""

from tests.bench import comparison, exposition, fleet, history, quantiles, schedule, sizes

if __name__ == "__main__":
    exposition.main()
    print()  # noqa: T201
    quantiles.main()
    print()  # noqa: T201
    sizes.main()
    print()  # noqa: T201
    comparison.main()
    print()  # noqa: T201
    history.main()
    print()  # noqa: T201
    fleet.main()
    print()  # noqa: T201
    schedule.main()
