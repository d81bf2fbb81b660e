"""The description of the API: it is OpenAPI, it knows every route, and requests made from it break nothing."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import jsonschema_rs
import pytest

from dnsd.api.routes import BASE, ROUTES
from tests.api.server import A1, FILES, IMMUTABLE, MI, PREFIX1, Z1, Api
