"""Letters of agency: uploads at the same time stay within the limit."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

from dnsd.manage.loa import KEPT_FOR, MAX_DOCUMENTS, LoaDocuments
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


NOW = datetime(2026, 3, 1, tzinfo=UTC)
DAY = timedelta(days=1)
KEEPER, GONE = "a1" * 16, "a2" * 16


def test_documents_outlive_the_files_of_their_account_by_a_month(tmp_path: Path) -> None:
    documents = LoaDocuments(tmp_path)
    for account_id in (KEEPER, GONE):
        documents.add(account_id, "loa.pdf", b"%PDF-1.7", NOW)
    documents.sweep({KEEPER}, NOW)
    documents.sweep({KEEPER}, NOW + KEPT_FOR - DAY)
    assert len(documents.of_account(GONE)) == 1
    documents.sweep({KEEPER, GONE}, NOW + KEPT_FOR - DAY)  # its files are back
    documents.sweep({KEEPER}, NOW + KEPT_FOR)  # and gone again: the month begins now
    LoaDocuments(tmp_path).sweep({KEEPER}, NOW + 2 * KEPT_FOR - DAY)
    assert len(documents.of_account(GONE)) == 1
    LoaDocuments(tmp_path).sweep({KEEPER}, NOW + 2 * KEPT_FOR)
    assert [one.name for one in (tmp_path / "loa").iterdir()] == [KEEPER]
    assert len(documents.of_account(KEEPER)) == 1


def test_accounts_without_documents_need_no_folder(tmp_path: Path) -> None:
    LoaDocuments(tmp_path).sweep({KEEPER}, NOW)
    LoaDocuments(tmp_path).remove_all(KEEPER)
    assert [*tmp_path.iterdir()] == []
