"""A tenant's user settings, and the verifier in docs/product-teams/users.md: it accepts exactly this tenant's users."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import boto3
import pytest
import requests
from joserfc import jwt
from joserfc.errors import BadSignatureError, ExpiredTokenError, JoseError
from joserfc.jwk import RSAKey
from moto import mock_aws
from moto.cognitoidp.models import cognitoidp_backends
from moto.core.models import DEFAULT_ACCOUNT_ID
from pydantic import ValidationError

from model import checks
from model.config import tenants
from model.config.aws import IdentitySettings
from model.config.tenants import Tenant
from model.config.yaml_lines import parse
from model.iam.oidc import endpoints, issuer, jwks_url
from model.kubernetes.manifests import identity_config_map

DOCUMENTATION = Path(__file__).parents[2] / "docs" / "product-teams" / "users.md"
REGION = "eu-west-1"
PASSWORD = "A long enough passphrase, 1"


def settings(**changes: Any) -> IdentitySettings:
    return IdentitySettings.model_validate({"domain": "acme", "callbackUrls": ["https://acme.example/"], **changes})


def found(text: str, stack: IdentitySettings | None) -> list[str]:
    return [str(problem) for problem in dict.fromkeys(checks.users(tenants.parse(parse(text, "tenants.yaml")), stack))]


def entry(name: str, identity: str = "") -> str:
    line = f"    identity: {identity}\n" if identity else ""
    return f"  - name: {name}\n    source: {{url: https://github.com/acme/shop, branch: main}}\n{line}"


def test_a_tenants_users_are_a_group_by_default() -> None:
    (tenant,) = tenants.parse(parse("tenants:\n" + entry("alpha"), "tenants.yaml")).tenants
    assert tenant.identity == "group"


def test_a_user_pool_needs_a_stack_with_users() -> None:
    (problem,) = found("tenants:\n" + entry("alpha") + entry("beta", "pool"), None)
    assert problem.startswith("tenants.yaml:6: tenants[1].identity: a pool needs a stack with a user pool")
    assert found("tenants:\n" + entry("alpha") + entry("beta", "pool"), settings()) == []


def test_a_wrong_default_is_reported_once_at_its_line() -> None:
    (problem,) = found("defaults:\n  identity: client\ntenants:\n" + entry("alpha") + entry("beta"), None)
    assert problem.startswith("tenants.yaml:2: defaults.identity: a client needs")


@pytest.mark.parametrize(
    ("name", "part"), [("a" * 60, "longer than Cognito's 63"), ("kawscade", "contain 'aws'"), ("a" * 58, "")]
)
def test_a_pools_domain_must_be_valid_for_cognito(name: str, part: str) -> None:
    problems = found("tenants:\n" + entry(name, "pool"), settings())
    assert bool(problems) == bool(part)
    assert all(part in problem for problem in problems)


def test_the_config_map_belongs_to_the_tenant() -> None:
    tenant = Tenant.model_validate(
        {"name": "alpha", "source": {"url": "https://github.com/acme/shop", "branch": "main"}}
    )
    metadata = identity_config_map(tenant, {"OIDC_TENANT": "alpha"})["metadata"]
    labels = {"toolkit.fluxcd.io/tenant": "alpha", "saas-in-eks.io/owner": "platform"}
    assert metadata == {"name": "identity", "namespace": "alpha", "labels": labels}


@pytest.fixture(scope="module")
def example() -> dict[str, Any]:
    """The names that the documentation's Python example defines."""
    (code,) = re.findall(r"```python\n(.*?)```", DOCUMENTATION.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Any] = {"__name__": "example"}
    exec(compile(code, str(DOCUMENTATION), "exec"), names)
    return names


class Cognito:
    """A pool with the tenants alpha and beta, one user each."""

    def __init__(self) -> None:
        self.api = boto3.client("cognito-idp", REGION, aws_access_key_id="testing", aws_secret_access_key="testing")
        schema = [{"Name": "tenant_id", "AttributeDataType": "String", "Mutable": False}]
        pool = self.api.create_user_pool(PoolName="saas", UsernameAttributes=["email"], Schema=schema)["UserPool"]
        self.pool = pool["Id"]
        self.client, self.other_client = (
            self.api.create_user_pool_client(UserPoolId=self.pool, ClientName=name)["UserPoolClient"]["ClientId"]
            for name in ("saas", "other")
        )
        for tenant in ("alpha", "beta"):
            self.api.create_group(UserPoolId=self.pool, GroupName=tenant)
            self.user(f"user@{tenant}.example", tenant)

    def user(self, email: str, tenant: str) -> None:
        attributes = [{"Name": "email", "Value": email}, {"Name": "custom:tenant_id", "Value": tenant}]
        self.api.admin_create_user(UserPoolId=self.pool, Username=email, UserAttributes=attributes)
        self.api.admin_set_user_password(UserPoolId=self.pool, Username=email, Password=PASSWORD, Permanent=True)
        self.api.admin_add_user_to_group(UserPoolId=self.pool, Username=email, GroupName=tenant)

    def tokens(self, email: str, client: str = "") -> Mapping[str, str]:
        return self.api.admin_initiate_auth(
            UserPoolId=self.pool,
            ClientId=client or self.client,
            AuthFlow="ADMIN_USER_PASSWORD_AUTH",
            AuthParameters={"USERNAME": email, "PASSWORD": PASSWORD},
        )["AuthenticationResult"]

    def configuration(self, tenant: str) -> Mapping[str, str]:
        """As the tenant's ConfigMap holds it."""
        by = issuer(REGION, self.pool)
        return {
            "OIDC_ISSUER": by,
            "OIDC_JWKS_URI": jwks_url(by),
            "OIDC_CLIENT_ID": self.client,
            "OIDC_TOKEN_USE": "access",
            "OIDC_TENANT_CLAIM": "cognito:groups",
            "OIDC_TENANT": tenant,
            **endpoints(REGION, "acme"),
        }


@pytest.fixture
def cognito() -> Iterator[Cognito]:
    with mock_aws():
        yield Cognito()


@pytest.fixture
def verifier(example: dict[str, Any], cognito: Cognito) -> Callable[[str], Any]:
    """The example's verifier as it runs in a tenant's namespace."""
    return lambda tenant: example["Verifier"](cognito.configuration(tenant), lambda url: requests.get(url).text)


def test_a_tenants_product_lets_its_own_user_in(verifier: Callable[[str], Any], cognito: Cognito) -> None:
    claims = verifier("alpha").verify(cognito.tokens("user@alpha.example")["AccessToken"])
    assert claims["cognito:groups"] == ["alpha"]


def test_a_tenants_product_refuses_the_user_of_another(
    verifier: Callable[[str], Any], cognito: Cognito, example: dict[str, Any]
) -> None:
    with pytest.raises(example["NotAllowedError"], match="not a user of beta"):
        verifier("beta").verify(cognito.tokens("user@alpha.example")["AccessToken"])


def test_a_user_without_a_tenant_is_refused(
    verifier: Callable[[str], Any], cognito: Cognito, example: dict[str, Any]
) -> None:
    email = "user@alpha.example"
    cognito.api.admin_remove_user_from_group(UserPoolId=cognito.pool, Username=email, GroupName="alpha")
    with pytest.raises(example["NotAllowedError"]):
        verifier("alpha").verify(cognito.tokens(email)["AccessToken"])


def test_a_token_for_another_application_or_use_is_refused(verifier: Callable[[str], Any], cognito: Cognito) -> None:
    alpha = verifier("alpha")
    with pytest.raises(JoseError, match="client_id"):
        alpha.verify(cognito.tokens("user@alpha.example", cognito.other_client)["AccessToken"])
    with pytest.raises(JoseError):
        alpha.verify(cognito.tokens("user@alpha.example")["IdToken"])


def test_a_token_of_another_issuer_time_use_or_key_is_refused(verifier: Callable[[str], Any], cognito: Cognito) -> None:
    alpha = verifier("alpha")
    pool = cognitoidp_backends[DEFAULT_ACCOUNT_ID][REGION].user_pools[cognito.pool]
    claims = jwt.decode(cognito.tokens("user@alpha.example")["AccessToken"], pool.json_web_key).claims

    def signed(key: RSAKey = pool.json_web_key, **changes: Any) -> str:
        """The token with some claims changed; None takes one away."""
        changed = {name: value for name, value in (claims | changes).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": "dummy"}, changed, key)

    alpha.verify(signed())
    with pytest.raises(JoseError, match="iss"):
        alpha.verify(signed(iss="https://cognito-idp.eu-west-1.amazonaws.com/eu-west-1_other"))
    with pytest.raises(ExpiredTokenError):
        alpha.verify(signed(exp=1))
    with pytest.raises(JoseError, match="exp"):
        alpha.verify(signed(exp=None))
    with pytest.raises(JoseError, match="token_use"):
        alpha.verify(signed(token_use="id"))
    with pytest.raises(BadSignatureError):
        alpha.verify(signed(RSAKey.generate_key(2048)))


def test_keys_are_fetched_once_and_again_for_a_new_key(example: dict[str, Any], cognito: Cognito) -> None:
    fetched: list[str] = []

    def fetch(url: str) -> str:
        fetched.append(url)
        text = requests.get(url).text
        return text.replace("dummy", "retired") if len(fetched) == 1 else text

    item = example["Verifier"](cognito.configuration("alpha"), fetch)
    token = cognito.tokens("user@alpha.example")["AccessToken"]
    item.verify(token)
    item.verify(token)
    assert fetched == [jwks_url(issuer(REGION, cognito.pool))] * 2


def test_the_settings_refuse_urls_that_cognito_would_refuse() -> None:
    with pytest.raises(ValidationError, match="not a URL"):
        settings(callbackUrls=["https://{tenant}.acme.example/"])
    assert settings(tenantCallbackUrls=["https://{tenant}.acme.example/"])
