"""The rules on hosts of a running HTTP service, from the settings in effect."""

from __future__ import annotations

import ipaddress

from dnsd.control.control import Control
from dnsd.net.listen import address_of
from dnsd.settings.services import HttpService, http_settings
from dnsd.web.host import HostRules


def host_rules(control: Control, service: HttpService) -> HostRules:
    """The names to which a running service answers now."""
    sock = control.setup.api if service == "api" else control.setup.metrics
    settings = http_settings(control.current.settings, control.setup.settings, service)
    assert sock is not None
    assert settings is not None
    is_wildcard = ipaddress.ip_address(address_of(sock).host).is_unspecified
    return HostRules(service, frozenset(settings.hosts), is_wildcard)
