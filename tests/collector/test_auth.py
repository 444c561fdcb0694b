"""What a registration may say of secrets, and what an operator lets it."""

import pytest
from pydantic import ValidationError

from collector.auth import Auth
from collector.errors import SecretForbidden
from collector.policy import Rules, check_secrets
from collector.targets import Registration

BEARER = {"type": "bearer", "secret": "fleet/token"}
ARN = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:"
HTTPS = "https://gpu.internal/metrics"


def registration(**changes):
    fields = {"instance_id": "a", "engine": "sglang", "endpoint": HTTPS}
    return Registration.model_validate(fields | changes)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        pytest.param({"auth": BEARER | {"type": "digest"}}, "auth.type", id="type"),
        pytest.param({"auth": {"type": "bearer"}}, "auth.secret", id="no-secret"),
        pytest.param({"auth": BEARER | {"secret": "two words"}}, "auth.secret", id="blank"),
        pytest.param({"auth": BEARER | {"secret": "fleet/*:x"}}, "auth.secret", id="star"),
        pytest.param({"auth": BEARER | {"secret": "ssm:fleet/token"}}, "auth.secret", id="ssm-without-slash"),
        pytest.param({"auth": BEARER | {"secret": "arn:aws:s3:::bucket"}}, "auth.secret", id="other-arn"),
        pytest.param({"auth": BEARER | {"secret": "fleet/token\n"}}, "auth.secret", id="line-end"),
        pytest.param({"auth": BEARER | {"password": "x"}}, "auth.password", id="more"),
        pytest.param({"auth": BEARER | {"header": "X-Key"}}, "auth.header", id="header-of-bearer"),
        pytest.param({"auth": BEARER | {"type": "header"}}, "auth.header", id="no-header"),
        *(
            pytest.param({"auth": BEARER | {"type": "header", "header": name}}, "auth.header", id=f"header-{name!r}")
            for name in ("Host", "content-length", "Transfer-Encoding", "If-Range", "Proxy-Agent", "X:", "a\nb", "")
        ),
        pytest.param({"ca": "fleet/ca", "endpoint": "http://gpu.internal/metrics"}, "ca", id="authority-of-http"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_refused_by_its_field(changes, field):
    with pytest.raises(ValidationError) as caught:
        registration(**changes)
    assert [".".join(map(str, error["loc"])) for error in caught.value.errors()] == [field]


@pytest.mark.parametrize("secret", ["fleet/token", f"{ARN}fleet/token-AbCdEf", "ssm:/fleet/token"])
def test_names_under_the_prefix_may_be_named(secret):
    check_secrets(
        Auth(type="bearer", secret=secret), secret, HTTPS, Rules(secrets_prefix="fleet/", allow_secrets_over_http=False)
    )


@pytest.mark.parametrize(
    ("secret", "prefix"),
    [
        pytest.param("fleet/token", None, id="no-prefix"),
        pytest.param("prod/database", "fleet/", id="another-name"),
        pytest.param("other/fleet/token", "fleet/", id="in-the-middle"),
        pytest.param("fleets/token", "fleet/", id="longer-word"),
        pytest.param(f"{ARN}prod/database-AbCdEf", "fleet/", id="another-arn"),
        pytest.param("ssm:/prod/database", "fleet/", id="another-parameter"),
    ],
)
@pytest.mark.parametrize("field", ["auth.secret", "ca"])
def test_no_other_may_be_and_the_words_do_not_repeat_what_may_be_the_secret_itself(field, secret, prefix):
    auth, ca = (Auth(type="bearer", secret=secret), None) if field == "auth.secret" else (None, secret)
    with pytest.raises(SecretForbidden) as caught:
        check_secrets(auth, ca, HTTPS, Rules(secrets_prefix=prefix, allow_secrets_over_http=True))
    assert caught.value.field == field
    assert secret not in str(caught.value)


def test_a_secret_goes_over_https_unless_the_operator_says_otherwise():
    auth, endpoint = Auth.model_validate(BEARER), "http://gpu.internal/metrics"
    check_secrets(auth, None, endpoint, Rules(secrets_prefix="fleet/", allow_secrets_over_http=True))
    with pytest.raises(SecretForbidden, match="ALLOW_SECRETS_OVER_HTTP"):
        check_secrets(auth, None, endpoint, Rules(secrets_prefix="fleet/", allow_secrets_over_http=False))
