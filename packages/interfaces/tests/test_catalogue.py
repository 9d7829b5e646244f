from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from fulmen_interfaces import (
    ACCELERATORS,
    CALLBACKS,
    DISABLED_PLUGINS_VARIABLE,
    LOGGERS,
    ROLES,
    STRATEGIES,
    Alias,
    BrokenPlugin,
    Catalogue,
    DuplicatePlugin,
    Entry,
    Found,
    StrategySpec,
    UnknownPlugin,
    default_catalogue,
)


class Made:
    def __init__(self, **settings: object) -> None:
        self.settings = settings


def spec(name: str = "ddp") -> StrategySpec:
    return StrategySpec(name=name, create=Made, priority=1)  # type: ignore[arg-type]


def entry(name: str, value: object, distribution: str = "some-plugin", version: str = "1.0") -> Entry:
    return Entry(name, distribution, version, lambda: value)


def fails() -> Any:
    raise ImportError("No module named 'deepspeed'")


def strategies(*entries: Entry) -> Catalogue:
    return Catalogue({STRATEGIES.group: entries})


def test_a_name_leads_to_its_spec() -> None:
    own = spec()
    assert strategies(entry("ddp", own)).find(STRATEGIES, "ddp") == Found(own)


def test_settings_reach_the_plugin() -> None:
    catalogue = strategies(
        entry("ddp", spec()),
        entry("static", Alias(name="static", target="ddp", settings={"static_graph": True, "bucket": 1})),
        entry("tuned", Alias(name="tuned", target="static", settings={"bucket": 2})),
    )
    assert catalogue.find(STRATEGIES, "ddp").create().settings == {}
    assert catalogue.find(STRATEGIES, "static").create().settings == {"static_graph": True, "bucket": 1}
    assert catalogue.find(STRATEGIES, "tuned").create().settings == {"static_graph": True, "bucket": 2}
    assert catalogue.find(STRATEGIES, "tuned").create(bucket=3).settings == {"static_graph": True, "bucket": 3}


def test_aliases_in_a_circle_are_told() -> None:
    catalogue = strategies(entry("a", Alias(name="a", target="b")), entry("b", Alias(name="b", target="a")))
    with pytest.raises(BrokenPlugin, match=r"'a' is an alias that leads back to itself: a → b"):
        catalogue.find(STRATEGIES, "a")


def test_alias_to_nothing_is_unknown() -> None:
    with pytest.raises(UnknownPlugin, match="no strategy 'nowhere'"):
        strategies(entry("a", Alias(name="a", target="nowhere"))).find(STRATEGIES, "a")


def test_two_distributions_with_one_name_are_both_named() -> None:
    catalogue = strategies(entry("ddp", spec(), "one", "1.0"), entry("ddp", spec(), "other", "2.0"))
    with pytest.raises(DuplicatePlugin) as error:
        catalogue.find(STRATEGIES, "ddp")
    assert "one 1.0 and other 2.0" in str(error.value)
    assert DISABLED_PLUGINS_VARIABLE in str(error.value)


def test_a_distribution_that_is_seen_twice_is_one() -> None:
    catalogue = strategies(entry("ddp", spec()), entry("ddp", spec()))
    assert catalogue.find(STRATEGIES, "ddp").spec.name == "ddp"


def test_near_misses_are_told() -> None:
    catalogue = strategies(entry("ddp", spec()), entry("fsdp", spec("fsdp")))
    with pytest.raises(UnknownPlugin) as error:
        catalogue.find(STRATEGIES, "FDDP")
    assert str(error.value) == "There is no strategy 'FDDP'. Did you mean 'ddp'?"


def test_a_name_that_is_like_no_other_is_not_guessed() -> None:
    with pytest.raises(UnknownPlugin) as error:
        Catalogue().find(ACCELERATORS, "quantum")
    assert str(error.value) == "There is no accelerator 'quantum'. Installed: none."


def test_names_of_ours_that_are_not_installed_say_what_to_install() -> None:
    with pytest.raises(UnknownPlugin) as error:
        Catalogue().find(STRATEGIES, "deepspeed_stage_3")
    assert "`pip install fulmen-strategy-deepspeed`" in str(error.value)


def test_a_plugin_that_cannot_be_imported_is_named_with_the_reason() -> None:
    catalogue = strategies(Entry("deepspeed", "fulmen-strategy-deepspeed", "0.1", fails))
    with pytest.raises(BrokenPlugin) as error:
        catalogue.find(STRATEGIES, "deepspeed")
    message = str(error.value)
    assert "fulmen-strategy-deepspeed cannot be imported: ImportError: No module named 'deepspeed'" in message
    assert isinstance(error.value.__cause__, ImportError)


def test_an_entry_point_that_leads_elsewhere_is_told() -> None:
    with pytest.raises(BrokenPlugin, match="leads to a int, but must lead to a StrategySpec or an Alias"):
        strategies(entry("ddp", 3)).find(STRATEGIES, "ddp")


def test_nothing_is_imported_before_it_is_asked_for() -> None:
    catalogue = strategies(Entry("ddp", "some-plugin", "1.0", fails), entry("fsdp", spec("fsdp")))
    assert catalogue.names(STRATEGIES) == ("ddp", "fsdp")
    assert catalogue.find(STRATEGIES, "fsdp").spec.name == "fsdp"


def test_specs_leave_out_what_is_broken_twice_there_or_an_alias() -> None:
    own = spec("sound")
    catalogue = strategies(
        entry("sound", own),
        Entry("broken", "some-plugin", "1.0", fails),
        entry("wrong", 3),
        entry("twice", spec("twice"), "one"),
        entry("twice", spec("twice"), "other"),
        entry("alias", Alias(name="alias", target="sound")),
    )
    assert catalogue.specs(STRATEGIES) == [own]


def test_plugins_can_be_added_at_run_time() -> None:
    catalogue = Catalogue()
    own = spec("mine")
    catalogue.register(STRATEGIES, own)
    catalogue.register(STRATEGIES, Alias(name="ours", target="mine"))
    assert catalogue.find(STRATEGIES, "ours").spec is own
    catalogue.register(STRATEGIES, spec("mine"), distribution="elsewhere")
    with pytest.raises(DuplicatePlugin, match="elsewhere and this program"):
        catalogue.find(STRATEGIES, "mine")


def test_roles_do_not_see_each_other() -> None:
    catalogue = strategies(entry("csv", spec("csv")))
    assert catalogue.names(LOGGERS) == ()
    with pytest.raises(UnknownPlugin):
        catalogue.entry(CALLBACKS, "csv")


def install(folder: Path, distribution: str, entry_points: str) -> None:
    """Put the metadata of a distribution into a folder, as pip would."""
    metadata = folder / f"{distribution.replace('-', '_')}-2.5.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 2.5\n")
    (metadata / "entry_points.txt").write_text(entry_points)


@pytest.fixture
def vendor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An installed distribution of somebody else, whose module cannot be imported."""
    install(tmp_path, "vendor-chip", "[fulmen.accelerators]\nchip = no_such_module:A\nchip2 = no_such_module:B\n")
    monkeypatch.syspath_prepend(tmp_path)


@pytest.mark.usefixtures("vendor")
def test_installed_plugins_are_found_by_metadata_alone() -> None:
    found = Catalogue.installed().entry(ACCELERATORS, "chip")
    assert (found.name, found.distribution, found.version) == ("chip", "vendor-chip", "2.5")
    assert "no_such_module" not in sys.modules
    with pytest.raises(BrokenPlugin, match="vendor-chip cannot be imported: ModuleNotFoundError"):
        Catalogue.installed().find(ACCELERATORS, "chip")


@pytest.mark.usefixtures("vendor")
@pytest.mark.parametrize(
    ("disabled", "left"),
    [("", {"chip", "chip2"}), ("chip", {"chip2"}), ("other, vendor-chip", set()), (" chip2 ,chip", set())],
)
def test_plugins_can_be_switched_off_by_name_or_distribution(
    disabled: str, left: set[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DISABLED_PLUGINS_VARIABLE, disabled)
    assert {"chip", "chip2"} & set(Catalogue.installed().names(ACCELERATORS)) == left


def test_the_default_catalogue_is_read_once() -> None:
    assert default_catalogue() is default_catalogue()


def test_every_role_has_a_group_of_its_own() -> None:
    assert len({role.group for role in ROLES}) == len({role.noun for role in ROLES}) == len(ROLES) == 10
    assert all(role.group.startswith("fulmen.") for role in ROLES)
