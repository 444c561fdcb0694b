"""`make bench`: every bench, one table each."""

from tests.bench import exposition

if __name__ == "__main__":
    exposition.main()
