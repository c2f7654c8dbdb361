"""``python -m workers check`` says what is wrong and starts nothing; on what it calls an error no worker starts."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

import pytest
import redis
from typer.testing import CliRunner, Result

from workers.__main__ import cli
from workers.embedded import EmbeddedServers

pytestmark = pytest.mark.xdist_group("check_command")

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedServers]:
    """Two servers whose settings these tests may change."""
    with EmbeddedServers(tmp_path_factory.mktemp("pair")) as running:
        yield running


@pytest.fixture
def state(pair: EmbeddedServers) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(pair.state_url, decode_responses=True) as server:
        yield server


@pytest.fixture
def environment(pair: EmbeddedServers, tmp_path: Path) -> dict[str, str]:
    """The environment of a worker that has nothing wrong with it."""
    return {
        "SALESBOOST_REDIS_URL": pair.state_url,
        "SALESBOOST_CACHE_URL": pair.cache_url,
        "SALESBOOST_HOME": str(tmp_path / "home"),
    }


@contextmanager
def configured(server: redis.Redis, **options: str) -> Generator[None]:
    """Change options of a server while the block runs; ``_`` stands for ``-``."""
    names = {name.replace("_", "-"): value for name, value in options.items()}
    before = cast(dict[str, str], server.config_get(*names))
    for name, value in names.items():
        server.config_set(name, value)
    try:
        yield
    finally:
        for name, value in reversed(before.items()):
            server.config_set(name, value)


def check(environment: dict[str, str], *options: str) -> Result:
    """Run the command in this process."""
    return CliRunner().invoke(cli, ["check", *options], env=environment)


def run(environment: dict[str, str], *command: str) -> subprocess.CompletedProcess[str]:
    """Run ``python -m workers`` for real."""
    return subprocess.run(
        [sys.executable, "-m", "workers", *command],
        cwd=ROOT,
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def footprint(server: redis.Redis) -> Any:
    return server.dbsize(), server.function_list(), sorted(server.scan_iter("*", count=1000))


def test_check_finds_nothing_wrong_and_starts_nothing(
    environment: dict[str, str], state: redis.Redis, pair: EmbeddedServers, tmp_path: Path
) -> None:
    with redis.Redis.from_url(pair.cache_url, decode_responses=True) as cache:
        # Given two servers as they must be
        before = footprint(state), footprint(cache)
        # When the command is run
        done = run(environment, "check")
        # Then it says what it looked at
        assert (done.returncode, done.stderr) == (0, "")
        for about in ("settings", "tools", "state server", "eviction", "persistence", "cache server"):
            assert f"ok  {about}: " in done.stdout
        assert "price_calculator" in done.stdout
        # And it has left nothing behind: no key, no function, no file
        assert (footprint(state), footprint(cache)) == before
        assert not (tmp_path / "home").exists()


def test_a_worker_refuses_to_start_on_what_check_calls_an_error(
    environment: dict[str, str], state: redis.Redis
) -> None:
    # Given a state server that keeps nothing and evicts
    before = footprint(state)
    with configured(state, maxmemory="100mb", maxmemory_policy="allkeys-lru", appendonly="no"):
        # When it is checked, and when a worker is started nevertheless
        checked = run(environment, "check")
        started = run(environment, "worker", "--concurrency", "1")
    # Then both name what is wrong, its value and the remedy
    assert (checked.returncode, started.returncode) == (1, 2)
    for said in (checked.stdout, started.stderr):
        assert "maxmemory-policy allkeys-lru and would delete jobs when it is full: set it to noeviction" in said
        assert "appendonly no and would lose every job in a restart: set appendonly yes" in said
    assert "Traceback" not in checked.stderr + started.stderr
    # And the worker has published nothing
    assert footprint(state) == before


@pytest.mark.parametrize(
    ("options", "level", "said"),
    [
        ({"maxmemory": "100mb", "maxmemory_policy": "volatile-ttl"}, "error", "maxmemory-policy volatile-ttl"),
        ({"maxmemory": "0", "maxmemory_policy": "allkeys-lru"}, "ok", "deletes nothing"),
        ({"appendonly": "no"}, "error", "appendonly no"),
    ],
)
def test_the_state_server_must_keep_everything(
    environment: dict[str, str], state: redis.Redis, options: dict[str, str], level: str, said: str
) -> None:
    with configured(state, **options):
        found = check(environment)
    assert found.exit_code == int(level == "error")
    assert any(line.strip().startswith(level) and said in line for line in found.output.splitlines())


def test_an_unbounded_cache_is_a_warning(environment: dict[str, str], pair: EmbeddedServers) -> None:
    with redis.Redis.from_url(pair.cache_url, decode_responses=True) as cache, configured(cache, maxmemory="0"):
        found = check(environment)
    assert found.exit_code == 0
    assert "warning  cache server: maxmemory 0 with allkeys-lru: bound it" in found.output


def test_a_state_server_that_does_not_answer_is_an_error(environment: dict[str, str]) -> None:
    found = check(environment | {"SALESBOOST_REDIS_URL": "redis://127.0.0.1:1/0"})
    assert found.exit_code == 1
    assert "error  state server: the server at redis://127.0.0.1:1/0 did not answer" in found.output
    assert "start it, or set its URL" in found.output


def test_a_cache_that_does_not_answer_is_a_warning(environment: dict[str, str]) -> None:
    found = check(environment | {"SALESBOOST_CACHE_URL": "redis://127.0.0.1:1/0"})
    assert found.exit_code == 0
    assert "warning  cache server: the server at redis://127.0.0.1:1/0 did not answer" in found.output
    assert "calls go on without a cache" in found.output


def test_no_cache_is_a_warning(environment: dict[str, str]) -> None:
    del environment["SALESBOOST_CACHE_URL"]
    found = check(environment)
    assert found.exit_code == 0
    assert "warning  cache server: none is set: results are not cached; set SALESBOOST_CACHE_URL" in found.output


def test_no_state_server_is_an_error_that_names_the_setting(environment: dict[str, str]) -> None:
    del environment["SALESBOOST_REDIS_URL"], environment["SALESBOOST_CACHE_URL"]
    found = check(environment)
    assert found.exit_code == 1
    assert "error  state server: no state server is known" in found.output
    assert "SALESBOOST_REDIS_URL" in found.output


@pytest.mark.parametrize("spelling", ["{url}", "{host}/5", "{local}"], ids=["same", "other database", "other name"])
def test_one_server_for_both_is_an_error(environment: dict[str, str], pair: EmbeddedServers, spelling: str) -> None:
    # Given a cache URL that leads to the state server, however it is spelled
    url = pair.state_url
    host = url.rpartition("/")[0] if url.count("/") == 3 else url
    environment["SALESBOOST_CACHE_URL"] = spelling.format(
        url=url, host=host, local=url.replace("127.0.0.1", "localhost")
    )
    # When it is checked
    found = check(environment)
    # Then that is an error
    assert found.exit_code == 1
    assert "error  cache server: the cache and the state server are both the one at" in found.output
    assert "use two servers" in found.output


@pytest.mark.parametrize(("name", "about"), [("REDIS", "state server"), ("CACHE", "cache server")])
def test_a_url_that_is_none_is_an_error(environment: dict[str, str], name: str, about: str) -> None:
    found = check(environment | {f"SALESBOOST_{name}_URL": "http://somewhere:1"})
    assert found.exit_code == 1
    assert f"error  {about}: a server's URL must be such as redis://127.0.0.1:6379/0" in found.output
    assert "got 'http://somewhere:1'" in found.output


@pytest.mark.parametrize("where", ["127.0.0.1:1", "{host}"], ids=["away", "evicting"])
def test_no_password_is_shown(
    environment: dict[str, str], state: redis.Redis, pair: EmbeddedServers, where: str
) -> None:
    # Given a URL with a password, and something wrong behind it
    host = pair.state_url.removeprefix("redis://").partition("/")[0]
    state.acl_setuser("checker", enabled=True, passwords=["+geheim"], commands=["+@all"], keys=["*"])
    environment["SALESBOOST_REDIS_URL"] = f"redis://checker:geheim@{where.format(host=host)}/0"
    environment["SALESBOOST_CACHE_URL"] = environment["SALESBOOST_REDIS_URL"]
    # When it is checked
    with configured(state, maxmemory="100mb", maxmemory_policy="allkeys-lru", appendonly="no"):
        found = check(environment)
    state.acl_deluser("checker")
    # Then the report shows where, and not how to get in
    assert found.exit_code == 1
    assert f"redis://***@{where.format(host=host)}/0" in found.output
    assert "geheim" not in found.output


def test_a_server_that_asks_for_a_password_is_an_error(environment: dict[str, str], state: redis.Redis) -> None:
    with configured(state, requirepass="geheim"):
        state.auth("geheim")
        found = check(environment)
    assert found.exit_code == 1
    assert "error  state server: " in found.output
    assert "Authentication" in found.output


def test_a_server_that_tells_nothing_is_a_warning(environment: dict[str, str], state: redis.Redis) -> None:
    # Given a managed server, which forbids CONFIG
    state.acl_setuser("managed", enabled=True, nopass=True, commands=["+@all", "-config"], keys=["*"])
    url = environment["SALESBOOST_REDIS_URL"].replace("redis://", "redis://managed:x@")
    # When it is checked
    found = check(environment | {"SALESBOOST_REDIS_URL": url})
    state.acl_deluser("managed")
    # Then what cannot be seen is named as what it must be
    assert found.exit_code == 0
    assert (
        "warning  eviction: the state server does not tell its maxmemory-policy; it must be noeviction" in found.output
    )
    assert "warning  persistence: the state server does not tell whether it persists; it must use AOF" in found.output


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SALESBOOST_LEASE", "0", "lease = '0': Input should be greater than or equal to 1"),
        ("SALESBOOST_LEESE", "10", "unknown settings in the environment: SALESBOOST_LEESE; known are"),
        ("TOOL_RETRY_MAX_ATTEMPTS", "many", "tool_retry_max_attempts = 'many': "),
        ("SALESBOOST_CONFIG", "/nowhere.toml", "SALESBOOST_CONFIG must name a TOML file, got '/nowhere.toml'"),
    ],
)
def test_a_wrong_setting_is_an_error(environment: dict[str, str], name: str, value: str, said: str) -> None:
    found = check(environment | {name: value})
    assert found.exit_code == 1
    assert found.output.strip().startswith("error  settings: ")
    assert said in found.output


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[price_calculator]\nlimmit = '1/day'\n", "[price_calculator] limmit: Extra inputs are not permitted"),
        ("[price_calculator]\nlimit = '20ph'\n", "limit must be COUNT/PERIOD such as 20/hour or 10/minute, got '20ph'"),
        ("[price_calculator]\nsoft_timeout = 500\n", "soft_timeout must be below timeout"),
        ("[price_calculator\n", "is no TOML"),
    ],
)
def test_a_wrong_tools_file_is_an_error(environment: dict[str, str], tmp_path: Path, text: str, said: str) -> None:
    # Given a tools.toml with something wrong in it
    path = tmp_path / "tools.toml"
    path.write_text(text, encoding="utf-8")
    # When it is checked
    found = check(environment | {"SALESBOOST_TOOLS_FILE": str(path)})
    # Then the report names the file, the place and the remedy, and goes on to the servers
    assert found.exit_code == 1
    assert f"error  tools: {path}" in found.output
    assert said in found.output
    assert "ok  persistence" in found.output


@pytest.mark.parametrize(
    ("text", "code", "said"),
    [
        ("[readers]\ntools = []\n", 1, "error  tool groups: "),
        (
            "[readers]\ntools = ['nobody', 'price_calculator']\n",
            0,
            "[readers] names nobody, which this worker does not",
        ),
        ("[readers]\ntools = ['price_calculator']\n", 0, "ok  tools"),
    ],
)
def test_the_groups_file_is_checked(
    environment: dict[str, str], tmp_path: Path, text: str, code: int, said: str
) -> None:
    path = tmp_path / "groups.toml"
    path.write_text(text, encoding="utf-8")
    found = check(environment | {"SALESBOOST_GROUPS_FILE": str(path)})
    assert found.exit_code == code
    assert said in found.output


@pytest.mark.parametrize(
    ("source", "said"),
    [
        (None, "cannot be imported: ModuleNotFoundError: No module named"),
        ("x = 1\n", "holds no @tool: decorate one or remove the module"),
        ("import nowhere_at_all\n", "cannot be imported: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("raise RuntimeError('no licence')\n", "cannot be imported: RuntimeError: no licence"),
        ("def f(:\n", "cannot be imported: SyntaxError"),
    ],
    ids=["missing", "without tools", "missing dependency", "raising", "broken"],
)
def test_a_module_of_tools_that_is_none_is_an_error(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str | None, said: str
) -> None:
    # Given a module that --tools names
    name = f"checked_{abs(hash((source, tmp_path)))}"
    monkeypatch.syspath_prepend(tmp_path)
    if source is not None:
        (tmp_path / f"{name}.py").write_text(source, encoding="utf-8")
    # When it is checked
    found = check(environment, "--tools", name)
    # Then the report names it
    assert found.exit_code == 1
    assert "error  tools: " in found.output
    assert name in found.output
    assert said in found.output


def test_a_module_of_tools_is_checked_with_the_others(environment: dict[str, str]) -> None:
    found = check(environment, "--tools", "tests.process.adoption_tools")
    assert found.exit_code == 0
    assert "ok  tools: act, add, broken, crm_integration, " in found.output
