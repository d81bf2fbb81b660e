"""Letters of agency: uploads at the same time stay within the limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

from dnsd.manage.loa import MAX_DOCUMENTS, LoaDocuments
from dnsd.manage.refusal import RefusedError


def test_uploads_at_once_stay_within_the_limit(tmp_path: Path) -> None:
    documents = LoaDocuments(tmp_path)

    def upload(number: int) -> bool:
        try:
            documents.add("a", f"{number}.pdf", b"%PDF-1.7", datetime.now(UTC))
        except RefusedError:
            return False
        return True

    with ThreadPoolExecutor(16) as pool:
        kept = sum(pool.map(upload, range(80)))
    assert kept == MAX_DOCUMENTS == len(documents.of_account("a"))
