"""Chunks are bounded, lose nothing, and never span two sections."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from tasks.knowledge.chunking import MAX_CHARS, OVERLAP_CHARS, chunk
from tasks.knowledge.documents import Block, Chunk, Section

WORDS = st.text(st.sampled_from("abcdé.!-|\n \t0e\u0301\u0958"), max_size=60)
TEXTS = st.builds(lambda parts, times: " ".join(parts) * times, st.lists(WORDS, max_size=8), st.integers(1, 12))
BLOCKS = st.builds(Block, TEXTS, header=st.sampled_from(["", "", "sku | price", "h" * 2000]))
SECTIONS = st.lists(st.builds(Section, st.lists(BLOCKS, max_size=4).map(tuple)), max_size=3)


@given(SECTIONS)
def test_no_chunk_is_too_long_or_empty(sections: list[Section]) -> None:
    for found in chunk(sections):
        assert 0 < len(found.text) <= MAX_CHARS
        assert found.text == found.text.strip()


@given(st.lists(st.from_regex(r"[a-z]{1,9}[.]?", fullmatch=True), min_size=1, max_size=900))
def test_every_word_of_prose_is_in_a_chunk_and_in_order(words: list[str]) -> None:
    # Given prose whose words can be told apart
    marked = [f"w{number}{word}" for number, word in enumerate(words)]

    # When it is cut
    found = chunk([Section((Block(" ".join(marked)),))])

    # Then each word is there, and only words of the part before come twice
    read = [word for part in found for word in part.text.split()]
    assert sorted(set(read), key=read.index) == marked
    assert len(" ".join(read)) - len(" ".join(marked)) <= (OVERLAP_CHARS + 1) * (len(found) - 1)


def test_a_short_section_is_one_chunk_under_its_headings() -> None:
    section = Section((Block("First."), Block("Second.")), ("Guide", "Prices"), page=3)

    assert chunk([section]) == [Chunk("First.\n\nSecond.", "Guide > Prices", 3)]


def test_sections_are_never_joined() -> None:
    sections = [Section((Block("Yes."),), ("FAQ", "Is it?")), Section((Block("No."),), ("FAQ", "Was it?"))]

    assert [found.text for found in chunk(sections)] == ["Yes.", "No."]


def test_a_section_without_headings_gets_the_title() -> None:
    assert chunk([Section((Block("Text."),))], "price list 2026") == [Chunk("Text.", "price list 2026")]


def test_a_long_section_is_cut_into_parts_of_about_the_same_size() -> None:
    # Given a section that is a little longer than a chunk
    paragraphs = [f"Paragraph {number} says something about prices." for number in range(MAX_CHARS // 44 + 3)]

    # When it is cut
    found = chunk([Section(tuple(map(Block, paragraphs)))])

    # Then it is cut in the middle, between two paragraphs
    assert len(found) == 2
    assert abs(len(found[0].text) - len(found[1].text)) < 100
    assert all(part.text.startswith("Paragraph") for part in found)


def test_prose_is_cut_between_sentences_and_repeats_the_last_one() -> None:
    # Given one long paragraph, hard-wrapped as in a text file
    sentences = [f"Sentence {number} goes over\ntwo lines of the file." for number in range(60)]

    # When it is cut
    found = chunk([Section((Block(" ".join(sentences)),))])

    # Then each part begins with a whole sentence that the part before it ends with, or just before
    assert len(found) > 2
    for before, after in pairwise(found):
        first = after.text.split(".")[0]
        assert first.startswith("Sentence")
        assert first in before.text[-OVERLAP_CHARS:]


def test_a_long_list_is_cut_between_its_items() -> None:
    items = [f"- Item {number}: it goes on. And on for\n  another line of it." for number in range(50)]

    found = chunk([Section((Block("\n".join(items)),))])

    assert len(found) > 1
    assert all(part.text.endswith("of it.") for part in found)


def test_each_part_of_a_long_table_repeats_the_header() -> None:
    # Given a price list
    rows = [f"NV-{number:04} | Product {number} | {number}.00" for number in range(100)]

    # When it is cut
    found = chunk([Section((Block("\n".join(rows), header="sku | name | price"),))])

    # Then each part is a table by itself, and each row is in one of them
    lines = [part.text.split("\n") for part in found]
    assert all(part[0] == "sku | name | price" for part in lines)
    assert [line for part in lines for line in part[1:]] == rows


def test_a_word_longer_than_a_chunk_is_cut() -> None:
    found = chunk([Section((Block("x" * (3 * MAX_CHARS)),))])

    assert {character for part in found for character in part.text} <= {"x", " "}


def test_accents_are_composed_and_characters_that_are_no_text_dropped() -> None:
    (found,) = chunk([Section((Block("Cafe\u0301\0 \ud800ok"),), ("U\u0308ber",))])

    assert found == Chunk("Café ok", "Über")
