"""Which connection leads to a preservation bucket. Nothing here connects."""

from __future__ import annotations

from pathlib import Path

import pytest
from msgspec import structs

from bagline.config import QUEUE_KINDS, S3Settings, Secret, Settings
from bagline.embedded import EngineAddresses
from bagline.model.storage import DEFAULT_OPTIONS, StorageTarget
from bagline.wiring import QUEUES, build_services, embedded_settings, regional_settings

AMAZON = S3Settings(
    endpoint="https://s3.amazonaws.com", access_key=Secret("key"), secret_key=Secret("secret")
)
VIRGINIA = StorageTarget(bucket="preservation-va")
OREGON = StorageTarget(bucket="preservation-or", region="us-west-2")
WASABI = StorageTarget(
    bucket="preservation-wasabi-or",
    provider="Wasabi-OR",
    region="us-west-1",
    host="s3.wasabisys.com",
)


def fleet(folder: Path, s3: S3Settings = AMAZON, **providers: S3Settings) -> Settings:
    return Settings(
        data_dir=folder,
        s3=s3,
        redis_url=Secret("redis://127.0.0.1:1/0"),
        providers={name.replace("_", "-"): found for name, found in providers.items()},
    )


def test_each_region_at_amazon_has_a_connection_of_its_own(tmp_path: Path) -> None:
    services = build_services(fleet(tmp_path))
    assert services.store_of(VIRGINIA) is services.objects
    assert "https://s3.us-west-2.amazonaws.com" in repr(services.store_of(OREGON))
    assert services.store_of(OREGON) is services.store_of(
        StorageTarget(bucket="preservation-glacier-or", region="us-west-2")
    )
    services.close()


def test_regional_connections_sign_for_their_region_with_the_same_key(tmp_path: Path) -> None:
    found = regional_settings(fleet(tmp_path))
    assert set(found) == {("AWS", "us-west-2"), ("AWS", "us-east-2")}
    for (_, region), s3 in found.items():
        assert (s3.region, s3.endpoint) == (region, f"https://s3.{region}.amazonaws.com")
        assert (s3.access_key, s3.secret_key) == (AMAZON.access_key, AMAZON.secret_key)


def test_where_the_connection_is_regional_itself_the_others_are_made(tmp_path: Path) -> None:
    oregon = structs.replace(
        AMAZON, endpoint="https://s3.us-west-2.amazonaws.com", region="us-west-2"
    )
    assert set(regional_settings(fleet(tmp_path, oregon))) == {
        ("AWS", "us-east-1"),
        ("AWS", "us-east-2"),
    }


def test_regions_of_a_named_provider_use_its_credentials(tmp_path: Path) -> None:
    there = structs.replace(AMAZON, access_key=Secret("another"))
    here = structs.replace(AMAZON, endpoint="https://minio.example")
    found = regional_settings(fleet(tmp_path, here, AWS=there))
    assert found["AWS", "us-west-2"].access_key == Secret("another")


@pytest.mark.parametrize(
    "endpoint",
    [
        "https://minio.example",
        "https://s3.amazonaws.com.example",
        "https://bucket.vpce-1a2b.s3.us-east-1.vpce.amazonaws.com",
        "https://s3.dualstack.us-east-1.amazonaws.com",
        "https://s3-fips.us-east-1.amazonaws.com",
    ],
)
def test_other_endpoints_are_taken_as_they_are(tmp_path: Path, endpoint: str) -> None:
    settings = fleet(tmp_path, structs.replace(AMAZON, endpoint=endpoint))
    assert regional_settings(settings) == {}
    services = build_services(settings)
    assert services.store_of(OREGON) is services.objects
    services.close()


def test_other_providers_have_the_connection_of_their_name(tmp_path: Path) -> None:
    wasabi = S3Settings(endpoint="https://s3.us-west-1.wasabisys.com", region="us-west-1")
    services = build_services(fleet(tmp_path, Wasabi_OR=wasabi))
    assert services.store_of(WASABI) is services.elsewhere["Wasabi-OR"]
    services.close()
    without = build_services(fleet(tmp_path))
    assert without.store_of(WASABI) is without.objects
    without.close()


def test_embedded_engines_are_one_store(tmp_path: Path) -> None:
    addresses = EngineAddresses(
        s3_endpoint="http://127.0.0.1:1",
        s3_access_key="key",
        s3_secret_key="secret",
        redis_url="redis://127.0.0.1:1/0",
    )
    local = embedded_settings(Settings(data_dir=tmp_path), addresses)
    services = build_services(local)
    assert services.regions == {}
    for option in local.storage_options:
        assert {services.store_of(target) for target in option.targets} == {services.objects}
    services.close()
    assert len(local.storage_options) == len(DEFAULT_OPTIONS)


def test_connections_of_one_account_at_amazon_reach_each_other(tmp_path: Path) -> None:
    services = build_services(
        fleet(tmp_path, Elsewhere=structs.replace(AMAZON, region="eu-west-1"))
    )
    realms = {services.objects.realm, *(store.realm for store in services.regions.values())}
    assert len(realms) == 1
    services.close()


def test_every_kind_of_queue_that_settings_may_name_can_be_built() -> None:
    assert set(QUEUES) == set(QUEUE_KINDS)
