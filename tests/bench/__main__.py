"""`make bench`: every bench, one table each."""

from tests.bench import exposition, quantiles

if __name__ == "__main__":
    exposition.main()
    print()  # noqa: T201
    quantiles.main()
