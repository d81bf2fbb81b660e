"""The rules on hosts of the HTTP services, from the settings in effect."""

from __future__ import annotations

import ipaddress
from typing import Literal

from dnsd.control.control import Control
from dnsd.net.listen import address_of
from dnsd.settings.sections import ApiSettings, MetricsSettings
from dnsd.web.host import HostRules

HttpService = Literal["api", "metrics"]


def settings_of(control: Control, service: HttpService) -> ApiSettings | MetricsSettings:
    """The settings in effect of a service that runs; those of the start, if a reload has removed its section."""
    found: ApiSettings | MetricsSettings | None = getattr(control.current.settings, service)
    found = found or getattr(control.setup.settings, service)
    assert found is not None
    return found


def host_rules(control: Control, service: HttpService) -> HostRules:
    """The names to which a service answers now."""
    sock = control.setup.api if service == "api" else control.setup.metrics
    assert sock is not None
    is_wildcard = ipaddress.ip_address(address_of(sock).host).is_unspecified
    return HostRules(service, frozenset(settings_of(control, service).hosts), is_wildcard)
