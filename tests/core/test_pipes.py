"""Declaring pipes, and every way in which a declaration can be wrong."""

from __future__ import annotations

import pickle

import pytest

from kindling_core.errors import PipeDefinitionError, UnknownPipeError
from kindling_core.pipes import DataPipesRegistry, PipeMetadata, Pipes, parameter_name, split_version


def test_the_decorator_returns_the_function_unchanged():
    pipes = Pipes()

    def flights(bronze_flights):
        return bronze_flights

    assert pipes.pipe("silver.flights", inputs=["bronze.flights"])(flights) is flights


def test_a_declared_pipe_carries_what_was_declared():
    pipes = Pipes()

    @pipes.pipe(
        "silver.flights",
        inputs=["bronze.flights"],
        output="silver.flights",
        tags={"team": "ops"},
        mode="streaming",
        retries=3,
    )
    def flights(bronze_flights):
        return bronze_flights

    (pipe,) = pipes
    assert pipe.name == "flights"
    assert pipe.input_entity_ids == ["bronze.flights"]
    assert pipe.output_entity_id == "silver.flights"
    assert pipe.tags == {"team": "ops"}
    assert pipe.mode == "streaming"
    assert pipe.options == {"retries": 3}
    assert pipe.parameters == {"bronze_flights": "bronze.flights"}
    assert pipe.location is not None
    assert pipe.location.startswith(flights.__module__)


def test_tags_given_as_a_list_have_empty_values():
    pipes = Pipes()
    pipes.pipe("a", tags=["nightly", "slow"])(lambda: None)
    assert next(iter(pipes)).tags == {"nightly": "", "slow": ""}


def test_a_mapping_names_the_parameters():
    pipes = Pipes()
    pipes.pipe("a", inputs={"left": "x.one", "right": "x.two"})(lambda left, right: None)
    assert next(iter(pipes)).parameters == {"left": "x.one", "right": "x.two"}


@pytest.mark.parametrize(
    ("entity_id", "parameter"),
    [
        ("silver.flights", "silver_flights"),
        ("silver.flights@v3", "silver_flights"),
        ("silver.flights-2024", "silver_flights_2024"),
        ("2024.flights", "_2024_flights"),
        ("class", "class_"),
    ],
)
def test_an_input_is_bound_to_an_identifier(entity_id, parameter):
    assert parameter_name(entity_id) == parameter


def test_a_version_is_split_from_the_entity():
    assert split_version("silver.flights@v12") == ("silver.flights", 12)
    assert split_version("silver.flights") == ("silver.flights", None)


def test_metadata_can_be_made_by_hand_and_called_with_its_inputs():
    meta = PipeMetadata("a", "a", ["x.y"], None, {}, lambda **inputs: sorted(inputs))
    assert meta.execute(**dict.fromkeys(meta.parameters)) == ["x_y"]
    assert meta.mode == "batch"
    assert hash(meta) == hash(PipeMetadata("a", "other", [], None, {}, print))


def wrong(function, **declaration):
    with pytest.raises(PipeDefinitionError) as caught:
        Pipes().pipe("the.pipe", **declaration)(function)
    return str(caught.value)


def test_two_inputs_for_one_parameter_are_refused_and_the_message_shows_the_mapping():
    message = wrong(lambda a_b: None, inputs=["a.b", "a_b"])
    assert "'the.pipe'" in message
    assert "'a.b'" in message
    assert "inputs={" in message


def test_the_same_input_twice_is_refused():
    assert "twice" in wrong(lambda a_b: None, inputs=["a.b", "a.b"])
    assert "twice" in wrong(lambda one, two: None, inputs={"one": "a.b", "two": "a.b"})


def test_an_input_that_the_function_does_not_take_is_refused_with_the_place():
    def flights(bronze_flihgts):
        return bronze_flihgts

    message = wrong(flights, inputs=["bronze.flights"])
    assert "Did you mean 'bronze_flihgts'?" in message
    assert f"{__file__}:{flights.__code__.co_firstlineno}" in message
    assert "flights" in message


def test_a_parameter_that_no_input_fills_is_refused():
    assert "no input fills the parameter 'extra'" in wrong(lambda a_b, extra: None, inputs=["a.b"])


def test_a_parameter_with_a_default_needs_no_input():
    pipes = Pipes()
    pipes.pipe("a", inputs=["a.b"])(lambda a_b, limit=10: None)
    assert len(pipes) == 1


def test_a_positional_only_parameter_is_refused():
    def flights(a_b, /):
        return a_b

    assert "'a_b'" in wrong(flights, inputs=["a.b"])


def test_an_async_function_is_refused():
    async def flights():
        return None

    assert "async" in wrong(flights)


def test_an_unknown_mode_is_refused_with_a_near_match():
    assert "Did you mean 'streaming'?" in wrong(lambda: None, mode="stream")


def test_a_string_in_place_of_a_list_is_refused():
    assert "inputs=['a.b']" in wrong(lambda a_b: None, inputs="a.b")
    assert "tags=['nightly']" in wrong(lambda: None, tags="nightly")


def test_a_malformed_version_is_refused():
    assert "silver.flights@v3" in wrong(lambda a_b: None, inputs=["a.b@3"])


def test_an_output_with_a_version_is_refused():
    assert "without a version" in wrong(lambda: None, output="a.b@v3")


def test_the_decorator_without_an_id_is_refused():
    with pytest.raises(PipeDefinitionError, match="Declare a pipe as"):
        Pipes().pipe(lambda: None)


def test_the_same_id_twice_names_both_places():
    pipes = Pipes()
    first, second = (lambda: None), (lambda: None)
    pipes.pipe("a")(first)
    with pytest.raises(PipeDefinitionError) as caught:
        pipes.pipe("a")(second)
    assert str(caught.value).count(f":{first.__code__.co_firstlineno}") == 2
    assert "Two pipes have the id 'a'" in str(caught.value)


def test_mounting_a_collection_registers_its_pipes_in_order_and_twice_changes_nothing():
    pipes, registry = Pipes(), DataPipesRegistry()
    for pipe_id in ("b", "a"):
        pipes.pipe(pipe_id)(lambda: None)
    registry.mount(pipes)
    registry.mount(pipes)
    assert registry.get_pipe_ids() == ["b", "a"]
    assert registry.get_pipe_definition("a").pipe_id == "a"


def test_an_unknown_pipe_is_an_error_with_near_matches():
    registry = DataPipesRegistry()
    registry.pipe("silver.flights")(lambda: None)
    with pytest.raises(UnknownPipeError, match=r"Did you mean 'silver\.flights'"):
        registry.get_pipe_definition("silver.flight")


def test_registering_metadata_checks_its_function():
    registry = DataPipesRegistry()
    with pytest.raises(PipeDefinitionError, match="does not have"):
        registry.register(PipeMetadata("a", "a", ["x.y"], None, {}, lambda other: None))


def test_metadata_of_an_importable_function_can_be_pickled():
    meta = PipeMetadata("a", "a", ["x.y"], None, {}, split_version_of_input)
    assert pickle.loads(pickle.dumps(meta)) == meta


def split_version_of_input(x_y):
    return split_version(x_y)
