"""After the switch to another user, the server imports nothing more: it may be unable to read Python's files."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.certificates import Authority

CODE = """
import sys
from pathlib import Path
from jinja2 import UndefinedError
from dnsd.serve.late_modules import import_late_modules
import_late_modules()
before = {*sys.modules}
from dnsd.dashboard.page import TEMPLATES, HtmlPage, pages
from dnsd.net.tls import PairFiles, load_pair
for name in TEMPLATES:
    pages()._environment.get_template(name)
try:
    pages().shown(HtmlPage("error.html"))
except UndefinedError:  # of a page without its data
    pass
load_pair(PairFiles(*map(Path, sys.argv[1:])))
print(*sorted({*sys.modules} - before))
"""


@pytest.mark.slow
def test_pages_and_certificates_need_no_more_modules(tmp_path: Path) -> None:
    files = map(str, Authority(tmp_path).issue("dns.example.com"))
    run = subprocess.run([sys.executable, "-c", CODE, *files], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []
