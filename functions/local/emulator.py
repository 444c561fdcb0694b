"""The process of the embedded AWS: `python -m local.emulator FD` serves it on an inherited listening socket.

It ends when its standard input does: that is, with the process that started it, however that one ends. The processes of
deployed functions end with it, and what all of them wrote is removed.
"""

import asyncio
import os
import shutil
import signal
import sys
import tempfile
import threading


def main() -> None:
    # Before ministack is read: it asks for these once.
    directory = tempfile.mkdtemp(prefix="embedded-aws-")
    os.environ["TMPDIR"] = os.environ["STATE_DIR"] = tempfile.tempdir = directory
    # A deployed function is to find what it was packed with, not our sources.
    os.environ.pop("PYTHONPATH", None)
    # So that a signal to the whole group ends all but this process. To ignore it would be handed down to them.
    signal.signal(signal.SIGTERM, lambda *_: None)
    threading.Thread(target=_end_with_stdin, args=(directory,), daemon=True).start()

    from hypercorn.asyncio import serve
    from hypercorn.config import Config
    from ministack.app import app  # type: ignore[import-untyped]

    config = Config()
    config.bind = [f"fd://{sys.argv[1]}"]
    config.keep_alive_timeout = 600
    config.loglevel = "ERROR"

    async def run() -> None:
        await serve(app, config, shutdown_trigger=asyncio.Event().wait)

    asyncio.run(run())


def _end_with_stdin(directory: str) -> None:
    sys.stdin.buffer.read()
    os.killpg(0, signal.SIGTERM)
    shutil.rmtree(directory, ignore_errors=True)
    os._exit(0)  # nothing to save: everything else lives in memory


if __name__ == "__main__":
    main()
