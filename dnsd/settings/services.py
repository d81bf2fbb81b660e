"""The HTTP services and their settings: warnings about plain HTTP, and the judgement of their certificates."""

from __future__ import annotations

import ipaddress
import os
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Literal

from dnsd.errors import Path as KeyPath
from dnsd.errors import Problem
from dnsd.net.tls import PairFiles, UnusablePairError, load_pair
from dnsd.process.privileges import PrivilegeError, user_to_assume
from dnsd.settings.bearer_token import UnusableTokenError, bearer_token
from dnsd.settings.sections import ApiSettings, MetricsSettings
from dnsd.settings.server import Settings

HttpService = Literal["api", "metrics"]
HttpSettings = ApiSettings | MetricsSettings
SERVICES: tuple[HttpService, ...] = ("api", "metrics")
OPEN_KEY = "other users can read {0}: chmod o= {0}"


def http_settings(now: Settings, first: Settings, service: HttpService) -> HttpSettings | None:
    """The settings in effect of a service; those of the server's start, if a reload has removed its section."""
    found: HttpSettings | None = getattr(now, service) or getattr(first, service)
    return found


def plain_warnings(settings: Settings) -> Iterator[str]:
    """Warnings about services that send secrets over the network without TLS."""
    for service, found, secrets in (
        ("api", settings.api, "tokens and sessions"),
        ("metrics", settings.metrics and settings.metrics.token_file and settings.metrics, "the token"),
    ):
        if found and not found.tls and not ipaddress.ip_address(found.listen.host).is_loopback:
            yield (
                f"{service}: {found.listen} has no TLS: {secrets} cross the network in clear; set {service}.tls, "
                "or listen on a loopback address, with a proxy for TLS in front"
            )


def service_problems(settings: Settings, config: Path, now: datetime) -> Iterator[Problem]:
    """Errors and warnings about the certificates and token files of all services. Blocks."""
    for service in SERVICES:
        found: HttpSettings | None = getattr(settings, service)
        if found and found.tls:
            files = found.tls.files(config)
            yield from _judged(service, found, files, now)
            yield from _unreadable(settings, (service, "tls", "certificate"), files.certificate)
            yield from _unreadable(settings, (service, "tls", "key"), files.key)
    if settings.metrics and (file := settings.metrics.token_of(config)):
        yield from _unreadable(settings, ("metrics", "token_file"), file)
        try:
            bearer_token(file)
        except UnusableTokenError as error:
            yield Problem("", ("metrics", "token_file"), str(error))


def _unreadable(settings: Settings, place: KeyPath, file: Path) -> Iterator[Problem]:
    """A warning about a file that root can read, but not the user to whom the server switches."""
    try:
        user = user_to_assume(settings.user, settings.group) if os.geteuid() == 0 else None
    except PrivilegeError:
        return  # the start reports it
    if user and not user.may_read(file):
        message = f"{file} cannot be read by the user {user.name}, which the server runs as: use chgrp and chmod g+r"
        yield Problem("", place, message, warning=True)


def _judged(service: HttpService, settings: HttpSettings, files: PairFiles, now: datetime) -> Iterator[Problem]:
    place = (service, "tls", "certificate")
    try:
        pair = load_pair(files)
    except UnusablePairError as error:
        yield Problem("", place, str(error))
        return
    if fault := pair.fault(now):
        yield Problem("", place, fault)
    if warning := pair.warning(now):
        yield Problem("", place, warning, warning=True)
    if missing := pair.missing(settings.hosts):
        yield Problem("", place, f"the certificate does not name {', '.join(missing)} of {service}.hosts", warning=True)
    if files.is_open_key():
        yield Problem("", (service, "tls", "key"), OPEN_KEY.format(files.key), warning=True)
