"""`make audit`: whether a package that the functions ship is known to be vulnerable, by pip-audit's advisories.

Those come from the network. Where they cannot be reached nothing is known, and that is said: status 2, not 1.
"""

import json
import subprocess
import sys
from pathlib import Path

SHIPPED = Path(__file__).parents[2] / "functions/requirements.txt"


def main(pip_audit: str) -> int:
    options = [
        "--require-hashes",
        "--disable-pip",
        "--format=json",
        "--progress-spinner=off",
        f"--requirement={SHIPPED}",
    ]
    run = subprocess.run([pip_audit, *options], capture_output=True, text=True)
    try:
        packages = json.loads(run.stdout)["dependencies"]
    except ValueError:
        packages = []
    # Where the registry is another than PyPI, or a mirror without its JSON, each is said not to be found.
    if all("skip_reason" in package for package in packages):
        last_words = packages[-1]["skip_reason"] if packages else (run.stderr.strip().splitlines() or ["nothing"])[-1]
        print("make audit: the advisories cannot be reached from here, so nothing was audited.", file=sys.stderr)  # noqa: T201
        print(f"pip-audit: {last_words[:300]}", file=sys.stderr)  # noqa: T201
        return 2
    known = [(package, found) for package in packages for found in package.get("vulns", ())]
    for package, found in known:
        mended = ", ".join(found["fix_versions"]) or "no release yet"
        print(f"{package['name']} {package['version']}: {found['id']}, mended in {mended}")  # noqa: T201
    skipped = [package for package in packages if "skip_reason" in package]
    for package in skipped:
        print(f"{package['name']}: not audited, {package['skip_reason']}")  # noqa: T201
    print(f"{len(packages) - len(skipped)} packages audited, {len(known)} known vulnerabilities")  # noqa: T201
    return 1 if known or skipped else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
