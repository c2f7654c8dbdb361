"""Turns a typed function into a tool.

A tool package needs `salesboost` alone::

    @tool(name="greet", roles={"sdr"}, limit="10/minute")
    def greet(args: Greeting, ctx: ToolContext) -> Reply:
        \"\"\"Greet a customer by name.\"\"\"
        return Reply(text=f"Hello {args.name}")

The function stays callable as it was, so that its tests need no worker.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final, Generic, Protocol, TypeVar, cast, get_type_hints, overload

from pydantic import BaseModel

from salesboost.context import ToolContext
from salesboost.errors import ToolDefinitionError
from salesboost.policy import DEFAULT_LIMIT, EffectKind, ToolPolicy

In = TypeVar("In", bound=BaseModel)
Out = TypeVar("Out", bound=BaseModel)

_NAME: Final = re.compile(r"[a-z][a-z0-9_]{0,63}")

Probe = Callable[[], object] | Callable[[], Awaitable[object]]
"""Exercises a tool's real dependency; returns anything when it is well and raises when it is not."""


class Tool(Generic[In, Out]):
    """A typed function with a name, a version and a policy. Made by `tool`, never changed.

    Attributes:
        name: The tool's name; its Celery task is ``tools.<name>``.
        version: Part of the cache key: results of another version are never answered.
        description: The function's docstring; agents read it.
        input_model: The pydantic model of the payload.
        output_model: The pydantic model of the result.
        policy: The policy stated in code; `config/tools.toml` may override it.
        probe: The health probe, None when the tool has no dependency to probe.
        prepare: Does once what every process's first call would pay for, None when there is nothing.
        is_async: True when the function is a coroutine function.
    """

    def __init__(
        self,
        function: Callable[[In, ToolContext], Out] | Callable[[In, ToolContext], Awaitable[Out]],
        *,
        name: str,
        version: str,
        policy: ToolPolicy,
        probe: Probe | None,
        prepare: Callable[[], object] | None = None,
    ) -> None:
        if not _NAME.fullmatch(name):
            raise ToolDefinitionError(
                f"a tool's name must be lower case letters, digits and _ (at most 64), got {name!r}"
            )
        self.name: Final = name
        self.version: Final = version
        self.policy: Final = policy
        self.probe: Final = probe
        self.prepare: Final = prepare
        self.function: Final = function
        self.is_async: Final = inspect.iscoroutinefunction(function)
        self.description: Final = inspect.getdoc(function) or ""
        if not self.description:
            raise ToolDefinitionError(f"tool {name} must have a docstring: agents choose tools by it")
        models = _models(name, function)
        self.input_model: Final = cast(type[In], models[0])
        self.output_model: Final = cast(type[Out], models[1])
        self.__doc__ = self.description
        self.__name__ = name

    def __call__(self, args: In, ctx: ToolContext) -> Out | Awaitable[Out]:
        """Run the function itself, without limits, cache or ledger."""
        return self.function(args, ctx)

    def __repr__(self) -> str:
        return f"Tool({self.name!r}, version={self.version!r})"


def _models(name: str, function: Callable[..., Any]) -> tuple[type[BaseModel], type[BaseModel]]:
    parameters = list(inspect.signature(function).parameters)
    hints = get_type_hints(function)
    if len(parameters) != 2:
        raise ToolDefinitionError(f"tool {name} must take (args, ctx), got ({', '.join(parameters)})")
    found = hints.get(parameters[0]), hints.get("return")
    for what, model in zip((f"parameter {parameters[0]!r}", "return value"), found, strict=True):
        if not (isinstance(model, type) and issubclass(model, BaseModel)):
            raise ToolDefinitionError(f"the {what} of tool {name} must be a pydantic model, got {model!r}")
    return cast(tuple[type[BaseModel], type[BaseModel]], found)


class ToolDecorator(Protocol):
    """What `tool` returns: takes a plain function or a coroutine function."""

    @overload
    def __call__(self, function: Callable[[In, ToolContext], Awaitable[Out]], /) -> Tool[In, Out]: ...

    @overload
    def __call__(self, function: Callable[[In, ToolContext], Out], /) -> Tool[In, Out]: ...


def tool(
    *,
    name: str,
    version: str = "1",
    roles: Iterable[str] = (),
    limit: str | None = DEFAULT_LIMIT,
    burst: int | None = None,
    strict: bool = False,
    limit_keys: Iterable[str] = (),
    concurrency: int | None = None,
    cache_ttl: float = 0.0,
    retries: int | None = None,
    timeout: float = 60.0,
    soft_timeout: float | None = None,
    effect: EffectKind = "read",
    queue: str = "default",
    probe: Probe | None = None,
    prepare: Callable[[], object] | None = None,
) -> ToolDecorator:
    """Make a tool of the decorated function ``(args: Model, ctx: ToolContext) -> Model``, sync or async.

    The parameters are the fields of `ToolPolicy`, where units and defaults are stated, and:

    Args:
        name: Lower case letters, digits and ``_``.
        version: Part of the cache key.
        probe: Exercises the tool's real dependency and raises when it is not well.
        prepare: Run by a worker's main process before it forks: import and load there what all calls need. It must
            leave no thread and no open connection behind. If it raises, the worker starts all the same.

    Raises:
        ToolDefinitionError: The name, the signature or the policy is wrong; the message says which.
    """
    try:
        policy = ToolPolicy(
            roles=frozenset(roles),
            limit=limit,
            burst=burst,
            strict=strict,
            limit_keys=tuple(limit_keys),
            concurrency=concurrency,
            cache_ttl=cache_ttl,
            retries=retries,
            timeout=timeout,
            soft_timeout=soft_timeout,
            effect=effect,
            queue=queue,
        )
    except ValueError as exc:
        raise ToolDefinitionError(f"the policy of tool {name} is wrong: {exc}") from exc

    def wrap(
        function: Callable[[In, ToolContext], Out] | Callable[[In, ToolContext], Awaitable[Out]],
    ) -> Tool[In, Out]:
        return Tool(function, name=name, version=version, policy=policy, probe=probe, prepare=prepare)

    return wrap
