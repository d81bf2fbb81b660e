"""Cloudflare's Python client drives every operation on addresses; each answer is valid by the client's own models."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cloudflare
import httpx
import pytest
from cloudflare import Cloudflare
from cloudflare._models import BaseModel, validate_type
from cloudflare.types.addressing import Prefix, ServiceListResponse
from cloudflare.types.addressing import prefixes as parts
from cloudflare.types.addressing.address_map_create_response import AddressMapCreateResponse
from cloudflare.types.addressing.address_map_get_response import AddressMapGetResponse
from cloudflare.types.addressing.loa_document_create_response import LOADocumentCreateResponse

from tests.api.server import A1, A2, FILES, PREFIX1, Z1, Api

CIDR = "198.51.100.0/24"
PDF = "%PDF-1.7 text"
# Resources of the client that have operations on addresses, but for regional hostnames, which dnsd lacks.
RESOURCES = (
    *("prefixes", "prefixes.service_bindings", "prefixes.bgp_prefixes", "prefixes.advertisement_status"),
    *("prefixes.delegations", "services", "address_maps", "address_maps.accounts", "address_maps.ips"),
    "loa_documents",
)
OWN = {"meta", "asn_ownership_validation_state"}  # fields that the models of this version lack


class Driven:
    """Calls of the client's operations, with a note of each."""

    def __init__(self, sdk: Cloudflare) -> None:
        self._sdk = sdk
        self.operations: set[str] = set()

    def __call__(self, operation: str, *arguments: str, **options: Any) -> httpx.Response:
        """Call an operation. Returns its response."""
        resource: Any = self._sdk.addressing
        *path, name = operation.split(".")
        for step in path:
            resource = getattr(resource, step)
        self.operations.add(operation)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)  # of bgp/status
            found: httpx.Response = getattr(resource.with_raw_response, name)(*arguments, **options).http_response
        return found

    def result(self, operation: str, *arguments: str, model: Any = None, **options: Any) -> Any:
        """The result of an operation, checked strictly against a model of the client."""
        result = self(operation, *arguments, **options).json()["result"]
        if model is not None:
            for one in result if isinstance(result, list) else [result]:
                check(model, one)
        return result


def check(model: type[BaseModel], shown: dict[str, Any]) -> None:
    """The object has the model's types, and only and all of its fields."""
    validate_type(type_=model, value=shown)
    assert model.model_fields.keys() - shown.keys() == set(), model
    assert shown.keys() - model.model_fields.keys() <= OWN, model
    for name, field in model.model_fields.items():
        inner = next(
            (one for one in (field.annotation, *getattr(field.annotation, "__args__", ())) if is_model(one)), None
        )
        if inner is not None and isinstance(shown[name], dict):
            check(inner, shown[name])


def is_model(kind: Any) -> bool:
    return inspect.isclass(kind) and issubclass(kind, BaseModel)


def operations(sdk: Cloudflare) -> Iterator[str]:
    for path in RESOURCES:
        resource: Any = sdk.addressing
        for step in path.split("."):
            resource = getattr(resource, step)
        for name, _ in inspect.getmembers(type(resource), inspect.isfunction):
            if not name.startswith("_"):
                yield f"{path}.{name}"


@pytest.fixture(scope="module")
def api(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Api]:
    with Api(Path(tmp_path_factory.mktemp("sdk")), FILES).running() as api:
        yield api


def test_every_operation_and_every_answer(api: Api) -> None:
    with Cloudflare(api_token=api.operator, base_url=f"{api.origin}/client/v4") as sdk:
        call = Driven(sdk)
        maps(call)
        prefix_id = prefixes(call)
        routes(call, prefix_id)
        bindings(call, prefix_id)
        delegations(call)
        assert call("prefixes.delete", prefix_id, account_id=A1).json()["result"] == []
        assert {*operations(sdk)} - call.operations == set()


def prefixes(call: Driven) -> str:
    document = call("loa_documents.create", account_id=A1, loa_document=PDF)
    assert document.status_code == 201
    check(LOADocumentCreateResponse, document.json()["result"])
    document_id = document.json()["result"]["id"]
    assert call("loa_documents.get", document_id, account_id=A1).content == PDF.encode()
    response = call(
        "prefixes.create",
        account_id=A1,
        asn=64510,
        cidr=CIDR,
        loa_document_id=document_id,
        delegate_loa_creation=True,
        description="ours",
    )
    assert response.status_code == 201
    made = response.json()["result"]
    check(Prefix, made)
    assert (made["loa_document_id"], made["delegate_loa_creation"], made["approved"]) == (document_id, True, "P")
    assert made in call.result("prefixes.list", model=Prefix, account_id=A1)
    call.result("prefixes.get", made["id"], model=Prefix, account_id=A1)
    edited = call.result("prefixes.edit", made["id"], model=Prefix, account_id=A1, description="theirs")
    assert edited["description"] == "theirs"
    validated = call("prefixes.validate", made["id"], account_id=A1)
    assert validated.status_code == 202
    check(Prefix, validated.json()["result"])
    return str(made["id"])


def routes(call: Driven, prefix_id: str) -> None:
    at: dict[str, Any] = {"account_id": A1, "prefix_id": prefix_id}
    made = call.result("prefixes.bgp_prefixes.create", prefix_id, model=parts.BGPPrefix, account_id=A1, cidr=CIDR)
    assert made["on_demand"]["advertised"] is False
    assert call.result("prefixes.bgp_prefixes.list", prefix_id, model=parts.BGPPrefix, account_id=A1) == [made]
    with pytest.raises(cloudflare.BadRequestError):  # the prefix is not approved
        call("prefixes.bgp_prefixes.edit", made["id"], on_demand={"advertised": True}, **at)
    edited = call.result(
        "prefixes.bgp_prefixes.edit",
        made["id"],
        model=parts.BGPPrefix,
        asn_prepend_count=2,
        auto_advertise_withdraw=True,
        on_demand={"advertised": False},
        **at,
    )
    assert edited["asn_prepend_count"] == 2
    assert call.result("prefixes.bgp_prefixes.get", made["id"], model=parts.BGPPrefix, **at) == edited
    status = parts.AdvertisementStatusGetResponse
    assert call.result("prefixes.advertisement_status.get", prefix_id, model=status, account_id=A1) == {
        "advertised": False,
        "advertised_modified_at": edited["on_demand"]["advertised_modified_at"],
    }
    call.result(
        "prefixes.advertisement_status.edit",
        prefix_id,
        model=parts.AdvertisementStatusEditResponse,
        account_id=A1,
        advertised=False,
    )
    assert call("prefixes.bgp_prefixes.delete", made["id"], **at).json()["success"] is True


def bindings(call: Driven, prefix_id: str) -> None:
    at: dict[str, Any] = {"account_id": A1, "prefix_id": prefix_id}
    services = call.result("services.list", model=ServiceListResponse, account_id=A1)
    response = call(
        "prefixes.service_bindings.create", prefix_id, account_id=A1, cidr=CIDR, service_id=services[0]["id"]
    )
    assert response.status_code == 201
    made = response.json()["result"]
    check(parts.ServiceBinding, made)
    assert call.result("prefixes.service_bindings.list", prefix_id, model=parts.ServiceBinding, account_id=A1) == [made]
    assert call.result("prefixes.service_bindings.get", made["id"], model=parts.ServiceBinding, **at) == made
    call("prefixes.service_bindings.delete", made["id"], **at)


def maps(call: Driven) -> None:
    made = call.result(
        "address_maps.create",
        model=AddressMapCreateResponse,
        account_id=A1,
        description="x",
        enabled=False,
        ips=["203.0.113.60"],
        memberships=[{"kind": "zone", "identifier": Z1}],
    )
    at: dict[str, Any] = {"account_id": A1, "address_map_id": made["id"]}
    call.result("address_maps.list", account_id=A1)
    call.result("address_maps.get", made["id"], model=AddressMapGetResponse, account_id=A1)
    call("address_maps.ips.update", "203.0.113.61", **at)
    call("address_maps.ips.delete", "203.0.113.61", **at)
    call("address_maps.accounts.update", A1, **at)
    call("address_maps.accounts.delete", A1, **at)
    call("address_maps.edit", made["id"], account_id=A1, enabled=False)
    call("address_maps.delete", made["id"], account_id=A1)


def delegations(call: Driven) -> None:
    made = call.result(
        "prefixes.delegations.create",
        PREFIX1,
        model=parts.Delegations,
        account_id=A1,
        cidr="203.0.113.0/26",
        delegated_account_id=A2,
    )
    assert call.result("prefixes.delegations.list", PREFIX1, model=parts.Delegations, account_id=A1) == [made]
    call("prefixes.delegations.delete", made["id"], account_id=A1, prefix_id=PREFIX1)
