"""What the package offers: held together with the routes of the API."""

from __future__ import annotations

import inspect

import service.client
from service.client import Client


def test_the_interface_is_what_it_names() -> None:
    for name in service.client.__all__:
        assert hasattr(service.client, name), name
    assert service.client.__all__ == sorted(
        service.client.__all__, key=lambda name: (not name.isupper(), name)
    )


def test_every_public_method_is_documented_and_typed() -> None:
    methods = {
        name: method
        for name, method in inspect.getmembers(Client, inspect.isfunction)
        if not name.startswith("_")
    }
    assert {"plugins", "install_url", "start_search", "roll_back", "events", "watch_task"} <= set(methods)
    for name, method in methods.items():
        assert method.__doc__, name
        signature = inspect.signature(method)
        assert signature.return_annotation is not inspect.Signature.empty, name
        for parameter in list(signature.parameters.values())[1:]:
            assert parameter.annotation is not inspect.Parameter.empty, (name, parameter.name)
