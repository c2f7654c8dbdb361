"""The tool `knowledge_retriever`: passages of the company's documents that answer a question."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from salesboost import ToolContext, tool
from tasks.knowledge.citations import context
from tasks.knowledge.locations import DEFAULT_KB, KB_PATTERN
from tasks.knowledge.probe import probe
from tasks.knowledge.search import MAX_TOP_K, Mode, search


class KnowledgeQuery(BaseModel):
    """What to look up."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    query: str = Field(description="A question or the words to look for, in plain language.")
    top_k: int = Field(default=3, ge=1, le=MAX_TOP_K, description="How many passages to return at most.")
    kb: Annotated[str, Field(pattern=KB_PATTERN)] | None = Field(
        default=None, description="The knowledge base to ask; without it the default one."
    )


class Passage(BaseModel):
    """A passage that was found."""

    id: str = Field(description="Stays the same for as long as the passage does.")
    text: str
    source: str = Field(description="The document it stands in.")
    heading: str = Field(description="The headings it stands under, outermost first; may be empty.")
    page: int | None = Field(description="The page, counted from 1, of documents that have pages.")
    score: float = Field(description="The higher the better; comparable within one answer only.")


class KnowledgeAnswer(BaseModel):
    """What was found."""

    kb: str = Field(description="The knowledge base that was asked.")
    mode: Mode = Field(description="How passages were ranked: by words, by meaning (dense), or by both (hybrid).")
    results: list[Passage] = Field(description="Best first; empty when nothing fits.")
    context: str = Field(description="The passages as one text, each under its number and source.")


@tool(
    name="knowledge_retriever",
    roles={"viewer", "retriever", "coach", "npc", "session_director", "compliance", "sdr", "system", "admin"},
    limit="10/minute",
    cache_ttl=300,
    timeout=15,
    effect="read",
    probe=probe,
)
def knowledge_retriever(args: KnowledgeQuery, ctx: ToolContext) -> KnowledgeAnswer:
    """Find passages of the company's documents: playbook, product sheets, price lists, policies.

    Ask in plain language; any text is allowed, names and article numbers help. The answer holds up to `top_k`
    passages, best first, and `context`, the same passages as one text in which each has a number and its source:
    answer from it, and cite the sources. Scores compare passages of one answer only. No results means that the
    documents say nothing about it: do not invent an answer. `kb` asks another collection than the default one.
    """
    answer = search(args.query, kb=args.kb or DEFAULT_KB, top_k=args.top_k)
    results = [
        Passage(
            id=hit.id,
            text=hit.text,
            source=hit.source,
            heading=hit.heading,
            page=hit.page,
            score=round(hit.score, 4),
        )
        for hit in answer.hits
    ]
    return KnowledgeAnswer(kb=answer.kb, mode=answer.mode, results=results, context=context(answer.hits))
