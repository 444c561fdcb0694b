"""`make openapi`: the OpenAPI document of the routes, as the function answers it, without AWS."""

import json
import os

from local.table import say
from local.template import Template


def main() -> None:
    variables = Template().function("Api")["Environment"]["Variables"]
    os.environ |= {name: str(value) for name, value in variables.items()}

    from handlers.api import VERSION, app
    from handlers.document import document

    say(json.dumps(document(app, VERSION), indent=2, ensure_ascii=False))


if __name__ == "__main__":
    main()
