"""The tool itself, as an agent meets it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from salesboost.faults import NotFoundFault, ToolFault
from salesboost.testing import LocalContext
from tasks.knowledge.ingest import add
from tasks.tools.knowledge_retriever import KnowledgeAnswer, knowledge_retriever
from tests.unit.knowledge.conftest import Write


def call(payload: dict[str, Any], role: str = "viewer") -> KnowledgeAnswer:
    reply = knowledge_retriever(knowledge_retriever.input_model.model_validate(payload), LocalContext(caller_role=role))
    assert isinstance(reply, KnowledgeAnswer)
    return reply


@pytest.fixture
def ready(documents: Path, write: Write) -> None:
    """Add two documents to the default knowledge base, and one of them to another."""
    write("terms.md", "# Terms\n\n## Warranty\n\nThree years on hardware.")
    write("prices.csv", "sku,name,price\nNV-S100,Tag,79.00\n")
    add("default", [documents], embed=False)
    add("legal", [documents / "terms.md"], embed=False)


@pytest.mark.usefixtures("ready")
def test_an_agent_gets_passages_and_a_context_to_quote_from() -> None:
    # When an agent asks
    reply = json.loads(call({"query": "How long is the warranty on hardware?"}).model_dump_json())

    # Then it gets the passage and where it stands
    (passage,) = reply["results"]
    assert passage | {"id": "", "score": 0} == {
        "id": "",
        "text": "Three years on hardware.",
        "source": "terms.md",
        "heading": "Terms > Warranty",
        "page": None,
        "score": 0,
    }
    assert reply["context"] == "[1] terms.md, Terms > Warranty\nThree years on hardware."
    assert (reply["kb"], reply["mode"]) == ("default", "lexical")


@pytest.mark.usefixtures("ready")
def test_an_article_number_is_found() -> None:
    assert [passage.source for passage in call({"query": "NV-S100"}).results] == ["prices.csv"]


@pytest.mark.usefixtures("ready")
def test_another_knowledge_base_can_be_asked() -> None:
    assert call({"query": "NV-S100 79.00", "kb": "legal"}).results == []


@pytest.mark.usefixtures("ready")
def test_a_query_that_nothing_fits_has_an_empty_answer() -> None:
    reply = call({"query": '"*'})

    assert (reply.results, reply.context) == ([], "")


@pytest.mark.parametrize(
    ("payload", "field"),
    [
        ({}, "query"),
        ({"query": 7}, "query"),
        ({"query": None}, "query"),
        ({"query": "x", "top_k": 0}, "top_k"),
        ({"query": "x", "top_k": 21}, "top_k"),
        ({"query": "x", "top_k": True}, "top_k"),
        ({"query": "x", "top_k": "3"}, "top_k"),
        ({"query": "x", "kb": "../etc"}, "kb"),
        ({"query": "x", "limit": 3}, "limit"),
    ],
)
def test_a_wrong_payload_is_refused_by_field(payload: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        call(payload)

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_without_documents_the_fault_says_what_to_do() -> None:
    with pytest.raises(NotFoundFault, match="make it with: salesboost kb add FOLDER --kb default"):
        call({"query": "x"})


def test_the_policy_is_the_one_agreed() -> None:
    policy = knowledge_retriever.policy

    assert (policy.limit, policy.effect, policy.cache_ttl) == ("10/minute", "read", 300)
    assert policy.roles == {
        "viewer",
        "retriever",
        "coach",
        "npc",
        "session_director",
        "compliance",
        "sdr",
        "system",
        "admin",
    }


@pytest.mark.usefixtures("ready")
def test_the_probe_is_content_with_an_index_that_answers() -> None:
    assert knowledge_retriever.probe is not None
    knowledge_retriever.probe()


def test_the_probe_complains_of_an_index_that_is_not_there_or_empty(documents: Path) -> None:
    assert knowledge_retriever.probe is not None
    with pytest.raises(NotFoundFault, match="got 'default'"):
        knowledge_retriever.probe()

    add("default", [documents])
    with pytest.raises(ToolFault, match="knowledge base default holds no document"):
        knowledge_retriever.probe()
