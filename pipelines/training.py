"""The training pipeline: from raw reviews to a promoted champion. Wiring only."""

from typing import Any, NamedTuple

from kfp import dsl
from kfp.dsl import Artifact, Dataset, Input

from components import specs
from pipelines import inputs
from pipelines.inputs import PARAMS, RUNGS, PipelineInput
from pipelines.tasks import give_credentials, set_resources

PARTS = PipelineInput(
    stage="kubeflow",
    parameter="parts",
    name="parts",
    type=list,
    default=PARAMS["kubeflow"]["parts"],
    description="Tasks that share the shards to count, such as 1/2 and 2/2.",
)


# a pipeline of its own: kfp.local evaluates a condition on the inputs of a pipeline only
@dsl.pipeline(name="promotion", description="Promotes a version that passed the gate.")
def promotion(verdict: Input[Artifact], passed: bool) -> None:
    with dsl.If(passed == True, name="passed the gate"):  # noqa: E712 - kfp's operator
        promote = specs.promote(verdict=verdict)
        set_resources(promote, "promote to champion")
        give_credentials(promote)


class Rung(NamedTuple):
    """The outputs of a rung of the search."""

    selection: Artifact
    selected: list[str]


# a pipeline of its own: kfp.local loops over the inputs of a pipeline only
@dsl.pipeline(name="search", description="Tries candidates and keeps the best: a rung.")
def search(
    matrix: Input[Dataset], candidates: list[str], budget: float, keep: int, max_iterations: int
) -> Rung:
    with dsl.ParallelFor(candidates) as candidate:
        trial = specs.trial(
            matrix=matrix, candidates=candidate, budget=budget, max_iterations=max_iterations
        )
        set_resources(trial, "trial")
    select = specs.select(trials=dsl.Collected(trial.outputs["trials"]), keep=keep)
    set_resources(select, "keep the best")
    return Rung(selection=select.outputs["selection"], selected=select.outputs["selected"])


@dsl.pipeline(
    name="training",
    display_name="Sentiment: training",
    description="From raw reviews to a champion, if the new model is not worse than the present.",
)
@inputs.takes(
    *inputs.of("ingest"),
    *inputs.of("validate"),
    *inputs.of("prepare"),
    *inputs.of("count", without=("part",)),
    PARTS,
    *inputs.of("merge"),
    *inputs.of("trial", without=("budget", "selected")),
    *inputs.of("register"),
    *inputs.of("gate", renamed={"alpha": "gate_alpha"}),
)
def training(given: dict[str, dict[str, Any]]) -> None:
    """Train, judge and promote."""
    ingest = specs.ingest(**given["ingest"])
    set_resources(ingest, "ingest reviews")
    give_credentials(ingest)
    reviews = ingest.outputs["reviews"]
    validate = specs.validate(reviews=reviews, **given["validate"])
    set_resources(validate, "validate reviews")
    prepare = specs.prepare(reviews=reviews, **given["prepare"])
    set_resources(prepare.after(validate), "split reviews")
    test = prepare.outputs["test"]
    # no display name for a loop or for a task in a loop: the server finds the artifacts of a loop
    # by the names in the IR (kubeflow/pipelines#13239)
    with dsl.ParallelFor(given["kubeflow"]["parts"]) as part:
        count = specs.count(
            train=prepare.outputs["train"],
            valid=prepare.outputs["valid"],
            part=part,
            **given["count"],
        )
        set_resources(count, "count")
    merge = specs.merge(counts=dsl.Collected(count.outputs["counts"]), **given["merge"])
    set_resources(merge, "merge the counts")
    matrix = merge.outputs["matrix"]
    candidates = given["trial"]["candidates"]
    selections = {}
    for key, rung in RUNGS.items():
        budget, keep = rung["trial"]["budget"], rung["select"]["keep"]
        searched = search(
            matrix=matrix,
            candidates=candidates,
            budget=budget,
            keep=keep,
            max_iterations=given["trial"]["max_iterations"],
        )
        searched.set_display_name(f"keep {keep} of those tried on {budget:.0%}")
        candidates = searched.outputs["selected"]
        selections[f"rung_{key}"] = searched.outputs["selection"]
    train = specs.train(list(RUNGS))(matrix=matrix, **selections)
    set_resources(train, "train the best candidate")
    model = train.outputs["model"]
    evaluate = specs.evaluate(model=model, test=test)
    set_resources(evaluate, "evaluate on test reviews")
    register = specs.register(
        model=model,
        metrics=evaluate.outputs["metrics"],
        findings=evaluate.outputs["findings"],
        plots=evaluate.outputs["plots"],
        test=test,
        **given["register"],
    )
    set_resources(register, "register the challenger")
    give_credentials(register)
    gate = specs.gate(registered=register.outputs["registered"], test=test, **given["gate"])
    set_resources(gate, "judge the challenger")
    give_credentials(gate)
    promotion(verdict=gate.outputs["verdict"], passed=gate.outputs["passed"])
