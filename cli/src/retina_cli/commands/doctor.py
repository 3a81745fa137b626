"""``retina doctor``."""

from __future__ import annotations

import os
import platform
import sys
from typing import Any

import click

from retina_cli import options
from retina_cli.console import print_json, print_line, print_table
from retina_cli.machine import describe_machine, installed_versions
from retina_cli.session import Session
from retina_core.registry import Registry
from retina_core.specs import API_VERSION

ENVIRONMENT = ("RETINA_PLUGINS", "RETINA_DATA", "OMP_NUM_THREADS", "CUDA_VISIBLE_DEVICES")
"""Variables that change what retina or torch does."""


@click.command()
@options.as_json
@click.pass_obj
def doctor(session: Session, as_json: bool) -> None:
    """Say what this machine has: versions, device, precision, plugins and what is wrong with them."""
    found: dict[str, Any] = {
        "api_version": API_VERSION,
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "versions": installed_versions(),
        **describe_machine(),
        "environment": {name: os.environ[name] for name in ENVIRONMENT if name in os.environ},
        "plugins": _plugins(session.registry),
    }
    if as_json:
        print_json(found)
    else:
        _print(found)


def _plugins(registry: Registry) -> list[dict[str, Any]]:
    return [
        {
            "name": plugin.announcement.name,
            "distribution": plugin.announcement.distribution,
            "version": plugin.announcement.version,
            "offers": [f"{offer.kind}:{offer.spec.name}" for offer in plugin.offers],
            "status": plugin.status,
            "reason": plugin.reason,
        }
        for plugin in registry.plugins
    ]


def _print(found: dict[str, Any]) -> None:
    print_line(f"python      {found['python']}, {found['platform']}")
    print_line(f"API         {found['api_version']}")
    print_line(f"processor   {found['processor']}, {found['cores']} cores, {found['memory_gib']} GiB")
    print_line(f"device      {found['device']} ({found['device_reason']})")
    print_line(f"precision   {found['precision']} ({found['precision_reason']})")
    for name, value in found["environment"].items():
        print_line(f"{name}={value}")
    print_line()
    print_table(
        ["package", "version"],
        [[name, version or "not installed"] for name, version in found["versions"].items()],
    )
    print_line()
    print_table(
        ["plugin", "distribution", "version", "offers", "status"],
        [
            [p["name"], p["distribution"], p["version"], len(p["offers"]), p["status"]]
            for p in found["plugins"]
        ],
    )
    for plugin in found["plugins"]:
        if plugin["reason"]:
            print_line(f"broken: {plugin['name']}: {plugin['reason']}")
