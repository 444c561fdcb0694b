"""The process of the embedded DynamoDB: `python -m local.dynamodb FD` serves it on an inherited listening socket.

It ends when its standard input does: that is, with the process that started it, however that one ends.
"""

import asyncio
import os
import sys
import threading


def main() -> None:
    threading.Thread(target=_end_with_stdin, daemon=True).start()

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app  # type: ignore[import-untyped]

    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = 600
    config.loglevel = "ERROR"
    asyncio.run(serve(app, config))


def _end_with_stdin() -> None:
    sys.stdin.buffer.read()
    os._exit(0)  # nothing to save: the tables live in memory


if __name__ == "__main__":
    main()
