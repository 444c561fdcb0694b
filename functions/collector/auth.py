"""How a target is asked for its page where it asks who comes: references to secrets, never the secrets themselves.

A registrar names a secret and where it goes, so only names under the operator's prefix may be named: else whoever may
PUT a target could have any secret of the account sent to a server of their own.
"""

from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationInfo, field_validator

SSM = "ssm:/"
ARN = r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:[0-9]{12}:secret:"
# Secrets Manager's characters for names, and Parameter Store's.
NAME = r"[A-Za-z0-9/_+=.@-]{1,512}"
PATH = r"[A-Za-z0-9/_.-]{1,1000}"

Reference = Annotated[
    str,
    Field(
        max_length=1024,
        pattern=rf"^({SSM}{PATH}|({ARN})?{NAME})$",
        description="A secret of Secrets Manager, by name or ARN; `ssm:/path` is a SecureString of Parameter Store.",
        examples=["sglang-collector/gpu-proxy", "ssm:/sglang-collector/gpu-proxy"],
    ),
]

# What the scrape says itself, what belongs to a connection, and what would have a part of the page sent, or none.
TAKEN = {
    *("accept", "accept-encoding", "connection", "content-length", "content-type", "expect", "host", "keep-alive"),
    *("range", "te", "trailer", "transfer-encoding", "upgrade", "user-agent"),
}
TAKEN_BEGINNINGS = ("if-", "proxy-")


def _free(name: str) -> str:
    if name.lower() in TAKEN or name.lower().startswith(TAKEN_BEGINNINGS):
        raise ValueError("this header is not for secrets")
    return name


class Auth(BaseModel):
    """What a server is told so that it lets us in."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["bearer", "basic", "header"] = Field(
        description="`Authorization: Bearer SECRET`; `Authorization: Basic …` of a secret that is `user:password` or "
        'JSON `{"username", "password"}`; or the secret as it is in a header of the given name.'
    )
    secret: Reference
    header: Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,63}$"), AfterValidator(_free)] | None = Field(
        None, validate_default=True, description="The header's name, for the type `header` alone."
    )

    @field_validator("header")
    @classmethod
    def _for_its_type_alone(cls, name: str | None, info: ValidationInfo) -> str | None:
        if "type" in info.data and (info.data["type"] == "header") != (name is not None):
            raise ValueError("is for the type `header`, which needs it")
        return name

    def __str__(self) -> str:
        return f"{self.type} {self.header or ''} {self.secret}".replace("  ", " ")
