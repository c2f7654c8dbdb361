"""CSV import and export."""

from __future__ import annotations

from pathlib import Path

from tasks.crm.transfer import export_directory, import_directory
from tasks.locations import REPOSITORY
from tests.unit.crm.conftest import Ask

DATA = REPOSITORY / "examples" / "data"
CUSTOMERS = "id,company,employees,sms_consent,version\nC-1,Acme,40,true,3\nC-2,Beta,,false,1\n"


def write(directory: Path, customers: str, deals: str = "") -> Path:
    directory.mkdir(exist_ok=True)
    (directory / "customers.csv").write_text(customers, encoding="utf-8")
    if deals:
        (directory / "deals.csv").write_text(deals, encoding="utf-8")
    return directory


def test_the_shipped_data_is_taken_whole_and_taken_again_changes_nothing(crm_url: str, ask: Ask) -> None:
    first = import_directory(crm_url, DATA)
    again = import_directory(crm_url, DATA)

    for once, twice in zip(first, again, strict=True):
        assert once.refused == []
        assert once.created > 0
        assert (twice.created, twice.updated, twice.kept) == (0, 0, 0)
        assert twice.unchanged == once.created
    assert ask("list", entity="order", limit=1).records[0]["lines"]


def test_an_export_is_the_import_of_the_same_records(crm_url: str, tmp_path: Path) -> None:
    import_directory(crm_url, DATA)

    counts = export_directory(crm_url, tmp_path / "out")
    there = import_directory(crm_url, tmp_path / "out", tenant="copy")
    back = import_directory(crm_url, tmp_path / "out")

    assert {report.file: report.created for report in there} == counts
    assert {report.file: report.unchanged for report in back} == counts


def test_versions_and_values_come_from_the_file(crm_url: str, ask: Ask, tmp_path: Path) -> None:
    import_directory(crm_url, write(tmp_path / "in", CUSTOMERS))

    record = ask("read", customer_id="C-1").record
    assert record is not None
    assert (record["employees"], record["sms_consent"], record["version"]) == (40, True, 3)


def test_a_record_that_was_changed_since_is_kept_unless_the_row_is_newer(
    crm_url: str, ask: Ask, tmp_path: Path
) -> None:
    # Given an imported customer that a caller has changed
    directory = write(tmp_path / "in", CUSTOMERS)
    import_directory(crm_url, directory)
    ask("update", customer_id="C-1", data={"employees": 44})

    # When the old file is imported again, the change stays
    (customers,) = [report for report in import_directory(crm_url, directory) if report.file == "customers.csv"]
    assert (customers.kept, customers.unchanged, customers.updated) == (1, 1, 0)

    # And when a file with a newer version comes, it replaces the record
    write(directory, CUSTOMERS.replace("40,true,3", "48,true,9"))
    import_directory(crm_url, directory)
    record = ask("read", customer_id="C-1").record
    assert record is not None
    assert (record["employees"], record["version"]) == (48, 9)


def test_a_wrong_row_is_reported_with_its_line_and_the_others_are_taken(crm_url: str, ask: Ask, tmp_path: Path) -> None:
    rows = CUSTOMERS + "C-3,,5,true,1\nC-4,Delta,5,maybe,1\n,Echo,5,true,1\nC-6,Foxtrot,few,true,1\n"
    deals = "id,customer_id,name,colour\nD-1,C-1,Tags,red\nD-2,C-9,Tags,red\n"

    reports = {report.file: report for report in import_directory(crm_url, write(tmp_path / "in", rows, deals))}

    assert reports["customers.csv"].created == 2
    assert [line.partition(":")[0] for line in reports["customers.csv"].refused] == [
        f"customers.csv line {number}" for number in (4, 5, 6, 7)
    ]
    assert reports["deals.csv"].refused == ["deals.csv line 3: data.customer_id: there is no customer 'C-9'"]
    assert reports["deals.csv"].ignored == {"colour"}
    assert reports["orders.csv"].created == 0
    assert len(ask("list").records) == 2
