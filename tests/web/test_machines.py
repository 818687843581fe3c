"""Live, ready, and the figures."""

from __future__ import annotations

from pathlib import Path

from prometheus_client.parser import text_string_to_metric_families

from tests.builders import change
from tests.pretend import Fault
from tests.web.support import Stand, standing


async def test_live_looks_at_nothing(tmp_path: Path) -> None:
    """It is 200 with a broken file and without Jellyfin, to everybody."""
    async with standing(tmp_path) as stand:
        stand.spoil()
        answer = await stand.ask("GET", "/healthz", {})
        assert (answer.status, answer.json) == (200, {"status": "ok"})
        assert stand.services.calls("jellyfin") == []


async def test_ready_tells_whether_work_can_be_done(stand: Stand) -> None:
    """Jellyfin counts as it was last seen; nobody can make us ask it."""
    assert (await stand.ask("GET", "/readyz", {})).status == 200
    stand.services.fault("jellyfin", Fault("/System", status=401))
    await stand.ask("POST", "/admin/sync")
    answer = await stand.ask("GET", "/readyz", {})
    assert (
        answer.status,
        answer.json["reasons"],
    ) == (503, [{"what": "jellyfin", "kind": "refused_key"}])
    assert stand.services.jellyfin_url not in answer.text
    await stand.ask("POST", "/admin/sync")
    assert (await stand.ask("GET", "/readyz", {})).json == {"ready": True, "reasons": []}


async def test_not_ready_without_the_trackers_file(tmp_path: Path) -> None:
    """A file that cannot be read is a reason."""
    async with standing(tmp_path) as stand:
        stand.spoil()
        answer = await stand.ask("GET", "/readyz", {})
    assert (answer.status, answer.json["reasons"]) == (503, [{"what": "tracker", "kind": "store"}])


async def figures(stand: Stand) -> dict[str, float]:
    """All samples by name and labels, without the prefix."""
    answer = await stand.ask("GET", "/metrics", {})
    assert answer.status == 200
    return {
        "".join([sample.name.removeprefix("library_sync_"), *sorted(sample.labels.values())]): (
            sample.value
        )
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


async def test_the_figures_tell_of_runs_titles_and_services(stand: Stand) -> None:
    """They come from the file and so survive a restart; no title and no person is in them."""
    await stand.ask("POST", "/admin/sync")
    stand.services.fault("radarr", Fault(status=401, times=None))
    await stand.ask("POST", "/admin/sync")
    async with stand.listening():
        found = await figures(stand)
    expected = {
        "runs_totaladminfullok": 1,
        "runs_totaladminfullpartial": 1,
        "run_duration_seconds_count": 2,
        "run_duration_seconds_bucket1.0": 2,
        "titlesAVAILABLEMOVIE": 1,
        "titlesAVAILABLETV": 1,
        "last_good_run_timestamp_seconds": 1795176000,
        "service_upJellyfin": 1,
        "service_upRadarr": 0,
        "event_listeners": 1,
        "loop_lag_seconds": 0.25,
        "tracker_up": 1,
        "run_stuck_seconds": 0,
    }
    assert expected == {name: found.get(name) for name in expected}
    assert found["service_calls_totalJellyfin"] >= 12
    assert found["service_bytes_totalJellyfin"] > 1000
    assert found["service_seconds_totalJellyfin"] > 0
    assert any(name.startswith("build_info") for name in found)


async def test_the_figures_follow_what_the_tracker_writes(stand: Stand) -> None:
    """Titles are counted anew as soon as anybody has changed the file."""
    await stand.ask("POST", "/admin/sync")
    assert (await figures(stand))["titlesAVAILABLEMOVIE"] == 1
    change(stand.file, "UPDATE requests SET state = 'FAILED' WHERE media_type = 'MOVIE'")
    found = await figures(stand)
    assert ("titlesAVAILABLEMOVIE" in found, found["titlesFAILEDMOVIE"]) == (False, 1)


async def test_a_file_that_cannot_be_read_takes_only_its_own_figures_along(tmp_path: Path) -> None:
    """What the process knows of itself is told all the same."""
    async with standing(tmp_path) as stand:
        stand.spoil()
        found = await figures(stand)
    assert (found["tracker_up"], found["loop_lag_seconds"]) == (0, 0.25)
    assert not [name for name in found if name.startswith("titles")]


async def test_the_metrics_need_no_login_but_the_rest_does(stand: Stand) -> None:
    """Only what machines ask for is open."""
    open_ = ["/healthz", "/readyz", "/metrics", "/openapi.json"]
    assert [(await stand.ask("GET", path, {})).status for path in open_] == [200] * 4
    paths = (await stand.ask("GET", "/openapi.json", {})).json["paths"]
    closed = [path for path, item in paths.items() if path not in open_ and "get" in item]
    assert len(closed) == 8
    for path in closed:
        path = path.replace("{run_id}", "1").replace("{request_id}", "1")  # noqa: PLW2901
        assert (await stand.ask("GET", path, {})).status == 401
