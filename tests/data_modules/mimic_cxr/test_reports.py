import re
import tarfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from data_modules.mimic_cxr.labels import FINDINGS
from data_modules.mimic_cxr.masking import SYNONYMS, mask_labels
from data_modules.mimic_cxr.reports import read_reports, select_text
from data_modules.mimic_cxr.sections import parse_sections
from tests.data.mimic_cxr.data import REPORT
from tests.real import real_data


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("findings", "The heart is enlarged. There is no pneumothorax. The patient is rotated."),
        ("impression", "1. Cardiomegaly."),
        ("full", "The heart is enlarged. There is no pneumothorax. The patient is rotated. 1. Cardiomegaly."),
        ("indication", "___ year old man with cough // pneumonia?"),
        ("label_masked", "The patient is rotated."),
    ],
)
def test_text_modes(mode: str, expected: str) -> None:
    assert select_text(parse_sections(REPORT), mode) == expected  # type: ignore[arg-type]


def test_the_other_sections_are_told_apart() -> None:
    sections = parse_sections(REPORT)
    assert sections["comparison"] == "None."
    assert sections["technique"] == "Chest PA and lateral"
    assert sections["examination"] == "CHEST (PA AND LAT)"


@pytest.mark.parametrize(
    ("heading", "section"),
    [
        ("CONCLUSION", "impression"),
        ("IMPRESSON", "impression"),
        ("NDICATION", "impression"),
        ("CHEST, TWO VIEWS", "findings"),
        ("PA  AND LATERAL VIEWS OF THE CHEST", "findings"),
        ("PFI", "indication"),
        ("REASON FOR EXAM", "indication"),
        ("CLINICAL HISTORY", "indication"),
        ("WET READ", "wet_read"),
    ],
)
def test_odd_headings(heading: str, section: str) -> None:
    assert parse_sections(f" {heading}:  Some text.\n")[section] == "Some text."


@pytest.mark.parametrize("heading", ["FINDINGS AND IMPRESSION", "FINDINGS/IMPRESSION", "IMPRESSION AND FINDINGS"])
def test_a_joint_section_is_never_served_as_findings(heading: str) -> None:
    joint = parse_sections(f" {heading}: The impression is in here.")
    assert select_text(joint, "findings") == ""  # it would leak what the labels are computed from
    assert select_text(joint, "label_masked") == ""
    assert select_text(joint, "impression") == "The impression is in here."
    assert select_text(joint, "full") == "The impression is in here."


def test_odd_reports() -> None:
    addendum = " FINDINGS: Old.\n ______________________________________\n ADDENDUM:  New: later.\n IMPRESSION: Done.\n"
    assert parse_sections(addendum) == {"findings": "Old.", "addendum": "New: later.", "impression": "Done."}
    twice = " IMPRESSION: One.\n _________________\n IMPRESSION: Two.\n"
    assert parse_sections(twice)["impression"] == "One. Two."
    assert select_text(parse_sections(" IMPRESSION: Only this."), "findings") == ""
    assert parse_sections("Portable chest. The last paragraph is all there is.\n") == {}
    parts = parse_sections(" FINDINGS:\n LUNGS: Clear.\n HEART: Large.\n IMPRESSION: Done.")
    assert parts["findings"] == "LUNGS: Clear. HEART: Large."
    assert "findings" not in parse_sections(" FINDINGS:\n\n IMPRESSION: Done.")


def test_sentences_that_name_a_label_are_removed_also_when_they_deny_it() -> None:
    text = "No pleural effusion. The patient is rotated; bibasilar atelectasis is unchanged. 2. Degenerative spine."
    assert mask_labels(text) == "The patient is rotated; 2. Degenerative spine."
    assert mask_labels("Lungs are clear.") == ""
    assert mask_labels("CARDIOMEGALY is mild") == ""


def test_every_label_has_synonyms_and_its_own_name_is_removed() -> None:
    assert set(SYNONYMS) == set(FINDINGS)
    for finding in FINDINGS:
        if finding not in ("No Finding", "Pleural Other", "Enlarged Cardiomediastinum"):  # not words that reports use
            assert mask_labels(f"There is {finding.lower()}.") == "", finding


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("study_id,impression,findings\ns1,a,b\n", "but got .'study'.* Did you mean 'study_id'"),
        ("study,impression,last_paragraph\ns1,a,b\n", "columns of 'mimic_cxr_sectioned.csv' but got .'findings'"),
        ("study,impression,findings\ns1,a,b\nx2,a,b\n", "studies as s50414267 .* but got 'x2' .row 3."),
        (f"study,impression,findings\ns1,a,b\ns{10**19},a,b\n", f"studies as s50414267 .* but got 's{10**19}' .row 3."),
        ("study,impression,findings\ns1,a,b\n,a,b\n", "studies as s50414267 .* but got '' .row 3."),
        ("study,impression,findings\ns1,a,b\ns1,a,c\n", "one row per study .* but 1 studies have several"),
    ],
)
def test_a_table_of_sections_that_names_no_study_or_section_is_refused(
    tmp_path: Path, content: str, message: str
) -> None:
    (tmp_path / "mimic_cxr_sectioned.csv").write_text(content)
    with pytest.raises(ValueError, match=f"Expected .*{message}"):
        read_reports(tmp_path, [10], [1], "findings")


def test_a_table_of_sections_may_repeat_rows(tmp_path: Path) -> None:
    (tmp_path / "mimic_cxr_sectioned.csv").write_text("study,impression,findings\ns1,a,Clear.\ns1,a,Clear.\n")
    assert read_reports(tmp_path, [10], [1], "findings").text == {1: "Clear."}


def test_sections_of_real_reports_come_back() -> None:
    archive = real_data("openi_reports") / "NLMCXR_reports.tgz"
    names = {"FINDINGS": "findings", "IMPRESSION": "impression", "INDICATION": "indication", "COMPARISON": "comparison"}
    number = found = 0
    with tarfile.open(archive) as files:
        for member in files:
            if not member.name.endswith(".xml"):
                continue
            content = files.extractfile(member)
            assert content is not None
            texts = {
                str(element.get("Label")): " ".join((element.text or "").split())
                for element in ElementTree.parse(content).iter("AbstractText")
            }
            report = "                 FINAL REPORT\n" + "".join(f" {k}:  {v}\n\n" for k, v in texts.items())
            # a heading within a section, in capitals and at the start of the text, is one of its own
            expected = {names[k]: v for k, v in texts.items() if k in names and v and not re.match(r"[A-Z ,]+:", v)}
            sections = parse_sections(report)
            number += 1
            found += all(sections.get(name) == text for name, text in expected.items())
    assert number == 3955
    assert found == number
