"""The training pipeline: from raw reviews to a promoted champion. Wiring only."""

from typing import Any

from kfp import dsl
from kfp.dsl import Artifact, Input

from components import specs
from components.specs import numbered
from pipelines import inputs
from pipelines.inputs import RUNGS, TASKS
from pipelines.tasks import SOURCE_KEYS, give_credentials, set_resources


# a pipeline of its own: kfp.local evaluates a condition on the inputs of a pipeline only
@dsl.pipeline(name="promotion", description="Promotes a version that passed the gate.")
def promotion(verdict: Input[Artifact], passed: bool) -> None:
    with dsl.If(passed == True, name="passed the gate"):  # noqa: E712 - kfp's operator
        promote = specs.promote(verdict=verdict)
        set_resources(promote, "promote to champion")
        give_credentials(promote)


def _shared(name: str, part: str) -> str:
    """Return the display name of a task, with its part if it is one of several."""
    return name if part == "1/1" else f"{name}, part {part}"


@dsl.pipeline(
    name="training",
    display_name="Sentiment: training",
    description="From raw reviews to a champion, if the new model is not worse than the present.",
)
@inputs.takes(
    *inputs.of("ingest", defaults={"labelled": ""}),  # a file of the laptop's in params.yaml
    *inputs.of("validate"),
    *inputs.of("prepare"),
    *inputs.of("count", without=("part",)),
    *inputs.of("merge"),
    *inputs.of("trial", without=("budget", "part", "selected")),
    *inputs.of("evaluate"),
    *inputs.of("register"),
    *inputs.of("gate", renamed={"alpha": "gate_alpha"}),
)
def training(given: dict[str, dict[str, Any]]) -> None:
    """Train, judge and promote."""
    ingest = specs.ingest(**given["ingest"])
    set_resources(ingest, "ingest reviews")
    give_credentials(ingest, *SOURCE_KEYS)
    reviews = ingest.outputs["reviews"]
    validate = specs.validate(reviews=reviews, **given["validate"])
    set_resources(validate, "validate reviews")
    prepare = specs.prepare(reviews=reviews, **given["prepare"])
    set_resources(prepare.after(validate), "split reviews")
    test = prepare.outputs["test"]
    # tasks, not a loop of Kubeflow: a loop costs two more pods, one after the other, and one for
    # each item
    counts = {}
    for number, name in enumerate(numbered("counts", TASKS.count_tasks), 1):
        part = f"{number}/{TASKS.count_tasks}"
        count = specs.count(
            train=prepare.outputs["train"],
            valid=prepare.outputs["valid"],
            part=part,
            **given["count"],
        )
        set_resources(count, _shared("count", part))
        counts[name] = count.outputs["counts"]
    merge = specs.merge(TASKS.count_tasks)(**counts, **given["merge"])
    set_resources(merge, "merge the counts")
    matrix = merge.outputs["matrix"]
    candidates = given["trial"]["candidates"]
    select_component = specs.select(TASKS.trial_tasks)
    selections = {}
    for key, rung in RUNGS.items():
        budget, keep = rung["trial"]["budget"], rung["select"]["keep"]
        trials = {}
        for number, name in enumerate(numbered("trials", TASKS.trial_tasks), 1):
            part = f"{number}/{TASKS.trial_tasks}"
            trial = specs.trial(
                matrix=matrix,
                candidates=candidates,
                part=part,
                budget=budget,
                max_iterations=given["trial"]["max_iterations"],
            )
            set_resources(trial, _shared(f"try on {budget:.0%}", part))
            trials[name] = trial.outputs["trials"]
        select = select_component(**trials, keep=keep)
        set_resources(select, f"keep {keep} of those tried on {budget:.0%}")
        candidates = select.outputs["selected"]
        selections[f"rung_{key}"] = select.outputs["selection"]
    train = specs.train(list(RUNGS))(matrix=matrix, **selections)
    set_resources(train, "train the best candidate")
    model = train.outputs["model"]
    evaluate = specs.evaluate(
        model=model, train=prepare.outputs["train"], test=test, **given["evaluate"]
    )
    set_resources(evaluate, "evaluate on test reviews")
    give_credentials(evaluate)  # a suite of behaviour may be in S3, and may change there
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
